//! rmcp with the two benchmark tools, in its fastest configuration, on axum.
//!
//! Built by bench/peers/build into .peers/bench/rmcp. /mcp keeps sessions (rmcp answers those with an event stream,
//! it has no other way) and serves the stateless revision with JSON; /stateless answers the older revisions without a
//! session, with JSON. rmcp has no HTTP+SSE pair.

use axum::serve::ListenerExt;
use rmcp::{
    Json, ServerHandler,
    handler::server::wrapper::Parameters,
    model::{ServerCapabilities, ServerConfig},
    schemars, tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct EchoArguments {
    text: String,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct AddArguments {
    a: i64,
    b: i64,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct EchoResult {
    result: String,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct AddResult {
    result: i64,
}

#[derive(Clone)]
struct Peer;

#[tool_router]
impl Peer {
    #[tool(description = "Returns the text.")]
    fn echo(&self, Parameters(EchoArguments { text }): Parameters<EchoArguments>) -> Json<EchoResult> {
        Json(EchoResult { result: text })
    }

    #[tool(description = "Returns the sum.")]
    fn add(&self, Parameters(AddArguments { a, b }): Parameters<AddArguments>) -> Json<AddResult> {
        Json(AddResult { result: a + b })
    }
}

#[tool_handler]
impl ServerHandler for Peer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

fn service(sessions: bool) -> StreamableHttpService<Peer, LocalSessionManager> {
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(sessions).with_json_response(true);
    StreamableHttpService::new(|| Ok(Peer), Default::default(), config)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let port = match arguments.as_slice() {
        [_, flag, port, ..] if flag == "--port" => port.clone(),
        _ => panic!("usage: peer --port N"),
    };
    let router = axum::Router::new()
        .nest_service("/mcp", service(true))
        .nest_service("/stateless", service(false));
    // Without TCP_NODELAY each answer in a session waits 40 ms for a delayed ACK, because rmcp writes it in two parts.
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}
