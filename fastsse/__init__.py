"""fastsse: the Model Context Protocol over HTTP, at a cost close to that of writing bytes to a socket.

These names are the public API; everything else may change between releases.
"""

from fastsse.app import App
from fastsse.config import Config
from fastsse.content import Audio, EmbeddedResource, Image, Message, ResourceLink, Text, ToolResult
from fastsse.context import Context
from fastsse.errors import (
    AskError,
    ClientLacks,
    ConfigError,
    FastsseError,
    InvalidParams,
    McpError,
    MethodNotFound,
    ResourceNotFound,
    ToolError,
)
from fastsse.handler import Catalog, Guest, Handler, Notification, Plan, Request, Result, Work
from fastsse.principal import Credentials, Principal
from fastsse.questions import Question, elicit, elicit_url, ping, roots, sample
from fastsse.server import Server, run

__version__ = "0.1.0"

__all__ = [
    "App",
    "AskError",
    "Audio",
    "Catalog",
    "ClientLacks",
    "Config",
    "ConfigError",
    "Context",
    "Credentials",
    "EmbeddedResource",
    "FastsseError",
    "Guest",
    "Handler",
    "Image",
    "InvalidParams",
    "McpError",
    "Message",
    "MethodNotFound",
    "Notification",
    "Plan",
    "Principal",
    "Question",
    "Request",
    "ResourceLink",
    "ResourceNotFound",
    "Result",
    "Server",
    "Text",
    "ToolError",
    "ToolResult",
    "Work",
    "__version__",
    "elicit",
    "elicit_url",
    "ping",
    "roots",
    "run",
    "sample",
]
