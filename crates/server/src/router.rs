//! Every route on one page, with what it asks of its callers.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::guard::{self, Need, Needs};
use crate::problem::{self, Problem};
use crate::routes::{
    batch, compat, docs, download, generate, health, models, sound, system, tasks, uploads, verbs,
};
use crate::stream::{create, socket};
use crate::wire::params::Params;
use crate::{App, log, metrics};

type State = Arc<App>;

/// The layers before routes, by what the routes ask for; `None` where nobody calls.
struct Gates {
    viewer: Option<Needs>,
    user: Option<Needs>,
    /// Each call is a task and counts as one.
    task: Option<Needs>,
    admin: Option<Needs>,
    metrics: Option<Needs>,
}

/// The methods of a path behind a gate. A method that the path does not know is refused without asking who calls.
fn behind(gate: Option<&Needs>, routes: UtoipaMethodRouter<State>) -> UtoipaMethodRouter<State> {
    let (schemas, paths, methods) = routes;
    match gate {
        Some(gate) => (schemas, paths, methods.route_layer(gate.clone())),
        None => (schemas, paths, methods),
    }
}

/// The methods of a path that takes no query. What a client asks for in one is not passed over without a word, as
/// routes with a query do not pass over what they do not know.
fn plain(routes: UtoipaMethodRouter<State>) -> UtoipaMethodRouter<State> {
    let (schemas, paths, methods) = routes;
    (schemas, paths, methods.route_layer(from_fn(no_query)))
}

async fn no_query(request: Request, next: Next) -> Response {
    match Params::of(request.uri().query(), &[]) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Those under `/health`, `/metrics`, `/docs` and `/problems` take any query: probes and browsers add some of their own.
fn table(gates: &Gates) -> OpenApiRouter<State> {
    let viewer = |routes| behind(gates.viewer.as_ref(), plain(routes));
    let user = |routes| behind(gates.user.as_ref(), plain(routes));
    let task = |routes| behind(gates.task.as_ref(), plain(routes));
    let admin = |routes| behind(gates.admin.as_ref(), plain(routes));
    // These read their queries themselves.
    let viewer_query = |routes| behind(gates.viewer.as_ref(), routes);
    let task_query = |routes| behind(gates.task.as_ref(), routes);
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(plain(routes!(docs::openapi_json)))
        .routes(routes!(docs::problem))
        .routes(behind(gates.metrics.as_ref(), routes!(metrics::handler)))
        // The id of a file is the right to have it.
        .routes(plain(routes!(download::get)))
        .routes(task(routes!(generate::generate)))
        .routes(task_query(routes!(generate::simple)))
        .routes(task(routes!(batch::batch)))
        .routes(task(routes!(verbs::from_midi)))
        .routes(task(routes!(verbs::continue_)))
        .routes(task(routes!(verbs::infill)))
        .routes(task(routes!(verbs::humanize)))
        .routes(task(routes!(verbs::harmonize)))
        .routes(task(routes!(verbs::arrange)))
        .routes(task(routes!(generate::song)))
        .routes(task(routes!(verbs::render)))
        .routes(task(routes!(verbs::analyze)))
        .routes(task(routes!(create::create)))
        // Its tasks are counted as they come.
        .routes(user(routes!(socket::open)))
        .routes(task(routes!(uploads::upload)))
        .routes(viewer_query(routes!(tasks::list)))
        .routes(viewer(routes!(tasks::get)))
        .routes(user(routes!(tasks::cancel)))
        .routes(viewer_query(routes!(tasks::events)))
        .routes(viewer(routes!(tasks::status)))
        .routes(viewer(routes!(batch::items)))
        .routes(viewer_query(routes!(models::list)))
        .routes(viewer(routes!(models::get)))
        .routes(admin(routes!(models::remove)))
        .routes(admin(routes!(models::load)))
        .routes(admin(routes!(models::unload)))
        .routes(viewer_query(routes!(models::styles)))
        .routes(viewer(routes!(compat::models)))
        .routes(task_query(routes!(sound::sound_generation)))
        .routes(task_query(routes!(sound::music)))
        .routes(viewer(routes!(system::status)))
        .routes(admin(routes!(system::config)))
        .routes(admin(routes!(system::reload)))
        .routes(admin(routes!(system::cleanup)))
}

/// The routes as [`crate::openapi`] finds them.
pub fn described() -> utoipa::openapi::OpenApi {
    table(&Gates { viewer: None, user: None, task: None, admin: None, metrics: None }).into_openapi()
}

/// All routes with their layers. Outermost are the log and [`problem::finish`], so that also what the
/// guard refuses becomes a problem with the request's id.
pub fn router(app: &Arc<App>) -> Router {
    let gate = |need| Some(guard::need(app, need));
    let gates = Gates {
        viewer: gate(Need::VIEWER),
        user: gate(Need::USER),
        task: gate(Need::TASK),
        admin: gate(Need::ADMIN),
        metrics: gate(Need::METRICS),
    };
    let (routes, _) = table(&gates).split_for_parts();
    let routes = routes
        .route("/docs", get(docs::index))
        .route("/docs/", get(docs::page))
        .route("/docs/{*path}", get(docs::file))
        .fallback(async || Problem::not_found("there is no such path"))
        .with_state(app.clone())
        .layer(CatchPanicLayer::custom(problem::panicked));
    let routes = guard::protect(routes, app);
    let routes = metrics::observe(routes, app);
    routes.layer(from_fn(problem::finish)).layer(from_fn(log::access))
}
