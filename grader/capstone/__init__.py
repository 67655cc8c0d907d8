"""The capstone: an image-text model, from raw drawings to a served endpoint.

Nothing here imports TensorFlow, nbgrader or sandlock, and no module imports torch or transformers before it is used,
so that the same code runs on a bare GPU machine.
"""
