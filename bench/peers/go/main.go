// The Go SDK with the two benchmark tools, in its fastest configuration: JSON answers, no logging.
//
// Built by bench/peers/build into .peers/bench/go/peer. `mcp` serves sessions and the stateless revision on /mcp,
// `sse` the HTTP+SSE pair on /sse.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type echoArguments struct {
	Text string `json:"text"`
}

type addArguments struct {
	A int `json:"a"`
	B int `json:"b"`
}

type echoResult struct {
	Result string `json:"result"`
}

type addResult struct {
	Result int `json:"result"`
}

func text(value string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: value}}}
}

func main() {
	port := flag.Int("port", 0, "port to listen on")
	transport := flag.String("transport", "mcp", "mcp or sse")
	flag.Parse()

	server := mcp.NewServer(&mcp.Implementation{Name: "bench", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "echo", Description: "Returns the text."},
		func(_ context.Context, _ *mcp.CallToolRequest, a echoArguments) (*mcp.CallToolResult, echoResult, error) {
			return text(a.Text), echoResult{a.Text}, nil
		})
	mcp.AddTool(server, &mcp.Tool{Name: "add", Description: "Returns the sum."},
		func(_ context.Context, _ *mcp.CallToolRequest, a addArguments) (*mcp.CallToolResult, addResult, error) {
			return text(strconv.Itoa(a.A + a.B)), addResult{a.A + a.B}, nil
		})
	same := func(*http.Request) *mcp.Server { return server }

	mux := http.NewServeMux()
	if *transport == "sse" {
		mux.Handle("/sse", mcp.NewSSEHandler(same, nil))
	} else {
		// Sessions for the older revisions; the stateless revision is served without them by the second handler.
		sessions := mcp.NewStreamableHTTPHandler(same, &mcp.StreamableHTTPOptions{JSONResponse: true})
		stateless := mcp.NewStreamableHTTPHandler(same, &mcp.StreamableHTTPOptions{JSONResponse: true, Stateless: true})
		mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("MCP-Protocol-Version") == "2026-07-28" {
				stateless.ServeHTTP(w, r)
			} else {
				sessions.ServeHTTP(w, r)
			}
		})
	}
	log.Fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", *port), mux))
}
