"""The embedded model server: a program of its own that speaks TGI's HTTP API over llama.cpp."""
