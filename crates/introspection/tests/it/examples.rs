//! Every example that runs by itself is run here, so that none rots. Each asserts what it shows.

#![allow(dead_code, clippy::duplicate_mod, reason = "their `main` is not called, and each brings its own support")]

#[path = "../../examples/axum.rs"]
mod axum_example;
#[path = "../../examples/hyper.rs"]
mod hyper_example;
#[path = "../../examples/tonic.rs"]
mod tonic_example;

#[tokio::test]
async fn axum_runs() {
    axum_example::run().await.unwrap();
}

#[tokio::test]
async fn hyper_runs() {
    hyper_example::run().await.unwrap();
}

#[tokio::test]
async fn tonic_runs() {
    tonic_example::run().await.unwrap();
}
