//! The paths that users, load balancer and health checkers ask for. Each answer names its Region, in `x-region` and in the body.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::database::{Database, Unavailable};

#[derive(Clone)]
struct Shop {
    database: Arc<Database>,
    region: Arc<str>,
}

#[derive(Deserialize)]
struct NewOrder {
    id: Uuid,
}

/// `status` comes first: health checks look for `"status":"ok"`.
#[derive(Serialize)]
struct Answer<'a, T> {
    status: &'static str,
    region: &'a str,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Reason {
    reason: String,
}

#[derive(Serialize)]
struct Content<T> {
    content: T,
}

pub(crate) fn routes(database: Arc<Database>, region: String) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/health", get(health))
        .route("/read", get(read))
        .route("/write", post(write))
        .with_state(Shop { database, region: region.into() })
}

/// Alive, whatever the database does: a load balancer that judged tasks by their database would take them all out at once.
async fn ready(State(shop): State<Shop>) -> Response {
    shop.answer(Ok(Nothing {}))
}

async fn health(State(shop): State<Shop>) -> Response {
    shop.answer(shop.database.check().await.map(|()| Nothing {}))
}

async fn read(State(shop): State<Shop>) -> Response {
    let newest = shop.database.newest().await;
    shop.answer(newest.map(|content| Content { content }))
}

async fn write(State(shop): State<Shop>, Json(order): Json<NewOrder>) -> Response {
    let placed = shop.database.place(order.id, &shop.region).await;
    shop.answer(placed.map(|content| Content { content }))
}

impl Shop {
    fn answer(&self, result: Result<impl Serialize, Unavailable>) -> Response {
        let region = [("x-region", self.region.to_string())];
        match result {
            Ok(content) => (region, Json(self.body("ok", content))).into_response(),
            Err(unavailable) => {
                let reason = unavailable.to_string();
                let body = self.body("unavailable", Reason { reason });
                (StatusCode::SERVICE_UNAVAILABLE, region, Json(body)).into_response()
            }
        }
    }

    fn body<T>(&self, status: &'static str, content: T) -> Answer<'_, T> {
        Answer { status, region: &self.region, content }
    }
}
