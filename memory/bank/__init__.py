"""The compressed bank: memories' vectors as few bytes each, searched as they are, reranked on the originals.

After MBC (arXiv 2601.00756), whose bank is a codebook that is learnt online, with dead codes reset. Here the codes
stand for embeddings, and the originals stay where they are, so compression can be undone. MBC's 512 codes do not fit a
byte; a codebook here has 256.
"""
