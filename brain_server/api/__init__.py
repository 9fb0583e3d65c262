"""The brain on the wire: WebSocket, REST, tokens."""
