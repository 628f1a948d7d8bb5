"""The dialect of Hugging Face's Text Generation Inference, which the embedded engine shares."""
