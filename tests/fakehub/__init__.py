"""A Hugging Face Hub for tests: the HTTP that the real huggingface_hub client speaks, in memory, faults on demand."""
