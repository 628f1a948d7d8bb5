"""Grammars in llama.cpp's own language (GBNF), made from regular expressions and JSON schemas."""
