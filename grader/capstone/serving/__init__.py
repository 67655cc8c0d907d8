"""A tuned model in service: exported to ONNX, made smaller, put behind HTTP, and tried under load.

What runs in the server (everything here but `export`, `compression` and `bundle_model`) imports no torch: NumPy and
onnxruntime are enough to answer.
"""
