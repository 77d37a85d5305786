"""Ground floor: masking, windows, familiarity, the model and its Python API. No sockets, no asyncio, no environment.

`logwarden` itself offers the public names. Nothing is imported here, so that `import logwarden.model.schema` does not
load torch.
"""
