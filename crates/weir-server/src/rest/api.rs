//! Routes together with what is said about them, so that the OpenAPI document and the help page cannot lag behind.

use crate::{
    node::Node,
    rest::answer::{ApiError, json_response},
};
use axum::{
    Router,
    extract::Request,
    handler::Handler,
    http::{HeaderValue, Method, StatusCode, Uri, header::CONTENT_TYPE},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use futures::FutureExt;
use serde_json::{Map, Value as Json, json};
use std::{panic::AssertUnwindSafe, sync::Arc};

/// The help page; it reads the OpenAPI document beside it.
const HELP_PAGE: &str = include_str!("help.html");

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Nothing.
    Nothing,
    /// JSON.
    Json,
    /// Records in the shape of Kafka's REST proxy.
    Records,
}

/// What is said about a route.
#[derive(Debug, Clone)]
pub struct Doc {
    method: &'static str,
    path: &'static str,
    about: &'static str,
    query: &'static [&'static str],
    carries: Carries,
}

impl Doc {
    /// `GET`, `POST` and so on.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The path, parameters in braces.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }
}

/// A set of routes over a node.
pub struct Api {
    title: &'static str,
    router: Router<Arc<Node>>,
    docs: Vec<Doc>,
}

impl Api {
    /// Without routes.
    #[must_use]
    pub fn new(title: &'static str) -> Self {
        Self { title, router: Router::new(), docs: vec![] }
    }

    /// A route that reads.
    #[must_use]
    pub fn get<H, T>(self, path: &'static str, about: &'static str, query: &'static [&'static str], handler: H) -> Self
    where
        H: Handler<T, Arc<Node>>,
        T: 'static,
    {
        self.add(Doc { method: "get", path, about, query, carries: Carries::Nothing }, routing::get(handler))
    }

    /// A route that makes or asks.
    #[must_use]
    pub fn post<H, T>(
        self,
        path: &'static str,
        about: &'static str,
        query: &'static [&'static str],
        carries: Carries,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<Node>>,
        T: 'static,
    {
        self.add(Doc { method: "post", path, about, query, carries }, routing::post(handler))
    }

    /// A route that changes what is there.
    #[must_use]
    pub fn put<H, T>(
        self,
        path: &'static str,
        about: &'static str,
        query: &'static [&'static str],
        carries: Carries,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<Node>>,
        T: 'static,
    {
        self.add(Doc { method: "put", path, about, query, carries }, routing::put(handler))
    }

    /// A route that removes.
    #[must_use]
    pub fn delete<H, T>(self, path: &'static str, about: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Node>>,
        T: 'static,
    {
        self.add(Doc { method: "delete", path, about, query: &[], carries: Carries::Nothing }, routing::delete(handler))
    }

    /// A route that removes what parameters name.
    #[must_use]
    pub fn delete_some<H, T>(
        self,
        path: &'static str,
        about: &'static str,
        query: &'static [&'static str],
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<Node>>,
        T: 'static,
    {
        self.add(Doc { method: "delete", path, about, query, carries: Carries::Nothing }, routing::delete(handler))
    }

    /// A page for people: no part of the API, so its document does not list it.
    #[must_use]
    pub fn page<H, T>(mut self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Node>>,
        T: 'static,
    {
        self.router = self.router.route(path, routing::get(handler));
        self
    }

    fn add(mut self, doc: Doc, handlers: MethodRouter<Arc<Node>>) -> Self {
        self.router = self.router.route(doc.path, handlers);
        self.docs.push(doc);
        self
    }

    /// What is said about the routes, in the order in which they were added.
    #[must_use]
    pub fn docs(&self) -> &[Doc] {
        &self.docs
    }

    /// The finished router: with `/openapi.json`, `/help`, and answers to whatever is not there.
    pub fn serve(self, node: Arc<Node>) -> Router {
        let document = openapi(self.title, &self.docs);
        let (served, page) = (document.clone(), help_page(self.title, &self.docs));
        self.router
            .route("/openapi.json", routing::get(move || async move { json_response(&document) }))
            .route("/swagger.json", routing::get(move || async move { json_response(&served) }))
            .route("/help", routing::get(move || help(page)))
            .fallback(nothing_there)
            .method_not_allowed_fallback(not_that_way)
            .layer(from_fn(guarded))
            .with_state(node)
    }
}

/// A request that meets a fault of ours is answered all the same, and the fault is in the log.
async fn guarded(request: Request, next: Next) -> Response {
    let asked = format!("{} {}", request.method(), request.uri().path());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let reason = weir_base::tasks::said(&*panic);
            tracing::error!(asked, reason, "a request met a fault");
            let error = format!("{asked} met a fault of this server: {reason}; the log says more");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error).into_response()
        }
    }
}

/// The help page with its paths as text: where scripts run, they put forms in their place.
fn help_page(title: &str, docs: &[Doc]) -> String {
    let line = |doc: &Doc| {
        let query = if doc.query.is_empty() { String::new() } else { format!("?{}", doc.query.join("&amp;")) };
        format!(
            "<p class=\"path\"><b>{}</b> <code>{}{query}</code> <span>{}</span></p>\n",
            doc.method.to_uppercase(),
            in_markup(doc.path),
            in_markup(doc.about)
        )
    };
    let paths: String = docs.iter().map(line).collect();
    HELP_PAGE
        .replace("<h1 id=\"title\">weir</h1>", &format!("<h1 id=\"title\">{}</h1>", in_markup(title)))
        .replace("loading ...", &paths)
}

/// Text as markup shows it.
fn in_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

async fn help(page: String) -> Response {
    let mut response = page.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

async fn nothing_there(method: Method, uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {method} {}: GET /help lists what is", uri.path()))
}

async fn not_that_way(method: Method, uri: Uri) -> ApiError {
    let error = format!("{} does not take {method}: GET /help lists what it takes", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, error)
}

/// The OpenAPI 3 document of some routes.
#[must_use]
pub fn openapi(title: &str, docs: &[Doc]) -> Json {
    let mut paths = Map::new();
    for doc in docs {
        let in_path = doc.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path =
            in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let in_query = doc.query.iter().map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}));
        let parameters: Vec<Json> = in_path.chain(in_query).collect();
        let mut operation = json!({
            "summary": doc.about,
            "parameters": parameters,
            "responses": {"200": {"description": "done"}, "default": {"description": "{\"code\":..,\"error\":\"..\"}"}},
        });
        let media = match doc.carries {
            Carries::Nothing => None,
            Carries::Json => Some("application/json"),
            Carries::Records => Some("application/vnd.kafka.json.v2+json"),
        };
        if let Some(media) = media {
            operation["requestBody"] = json!({"content": {media: {"schema": {"type": "object"}}}});
        }
        let path = paths.entry(doc.path.to_owned()).or_insert_with(|| json!({}));
        path[doc.method] = operation;
    }
    json!({
        "openapi": "3.0.3",
        "info": {"title": title, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_page_lists_paths_without_scripts() {
        let api = crate::rest::controller();
        let page = help_page(api.title, &api.docs);
        for doc in api.docs() {
            assert!(page.contains(&format!("<code>{}", in_markup(doc.path()))), "{}", doc.path());
        }
        assert!(!page.contains("loading ...") && page.contains("<h1 id=\"title\">weir controller</h1>"));
        assert_eq!(in_markup("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
    use crate::client::Client;

    #[tokio::test]
    async fn a_fault_is_an_answer_too() {
        async fn falls() {
            panic!("on purpose")
        }
        let router = Router::new().route("/falls", routing::get(falls)).layer(from_fn(guarded));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&listener.local_addr().unwrap().to_string());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let answer = client.get("/falls").await.unwrap();
        assert_eq!(answer.status, 500);
        assert!(answer.error().contains("GET /falls") && answer.error().contains("on purpose"), "{}", answer.text());
        serving.abort();
    }

    #[test]
    fn the_document_names_paths_parameters_and_bodies() {
        let api = Api::new("t").get("/a/{b}", "reads", &["type"], || async {}).post(
            "/a/{b}",
            "makes",
            &[],
            Carries::Json,
            || async {},
        );
        let document = openapi("t", api.docs());
        let get = &document["paths"]["/a/{b}"]["get"];
        assert_eq!(get["summary"], "reads");
        assert_eq!(get["parameters"][0]["in"], "path");
        assert_eq!(get["parameters"][1]["name"], "type");
        assert!(get.get("requestBody").is_none());
        assert!(document["paths"]["/a/{b}"]["post"]["requestBody"]["content"]["application/json"].is_object());
    }
}
