"""Document memories: the outline of a document, the chunks that it stands for, and the core content of each (MoM)."""
