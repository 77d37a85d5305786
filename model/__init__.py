"""Ground floor: masking, windows, familiarity, the model and its Python API. No sockets, no asyncio, no environment.

The public names are offered by `logwarden` itself. Nothing is imported here, so that `import logwarden.model.schema`
leaves torch alone.
"""
