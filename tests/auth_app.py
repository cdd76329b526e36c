"""An app that says who asks; `test_clients_auth.py` serves it."""

from fastsse import App, Context

app = App("who", version="1.0.0")


@app.tool
def who(context: Context) -> str:
    """The name of who asks, and its scopes."""
    principal = context.principal
    assert principal is not None
    return " ".join([principal.name, *sorted(principal.scopes)])
