"""fastsse serves the Model Context Protocol over HTTP."""

__version__ = "0.1.0"
