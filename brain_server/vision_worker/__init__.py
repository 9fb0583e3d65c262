"""The processes that open what cameras and strangers' files send: video streams and ONNX networks.

Both are decoded by libraries in C that may hang or crash; a process of its own can be ended. Nothing but this
package imports those libraries, and only in the child. :mod:`.child` is how the brain talks to it.
"""
