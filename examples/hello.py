"""Ten lines: python -m fastsse examples/hello.py:app"""

from fastsse import App

app = App("hello", version="1.0.0")


@app.tool
def greet(name: str, times: int = 1) -> str:
    """Greets somebody, several times if need be."""
    return " ".join([f"Hello, {name}!"] * times)
