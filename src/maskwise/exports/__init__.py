"""Models as other programs read them: graphs, the folder of an export, its card."""
