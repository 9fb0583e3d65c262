"""The process of one local model: llama.cpp lives here, and may die here without taking the brain along.

``python -m brain_server.llama_worker FD`` answers frames on a socket, one request at a time. Only
``engine`` imports llama.cpp; the brain imports ``wire``, ``gguf`` and ``room``.
"""
