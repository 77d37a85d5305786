"""Sends incidents to pagers, chats and collectors: what is delivered, in which order, and one file per destination."""
