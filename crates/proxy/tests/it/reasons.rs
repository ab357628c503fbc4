//! The one table of reasons, row by row: what a client, the metrics and the log are told.

use crate::gateway::{anywhere, endpoint, fakes, quick, route};
use crate::wire::Wire;
use portcullis_model::plan::Plan;
use portcullis_plugins::reason::TABLE;
use portcullis_proxy::telemetry::AccessLog;
use portcullis_proxy::{DataPlane, Settings};
use serde_json::Value;

// I-53, I-50, I-61: every reason, through a running gateway.
#[tokio::test]
async fn every_row_is_told_to_everyone() {
    let path = std::env::temp_dir().join(format!("portcullis-reasons-{}.log", std::process::id()));
    let log = AccessLog::to_file(&path).unwrap();
    let settings = Settings { limits: quick(), ..Settings::default() };
    let gateway = DataPlane::start(settings, &[anywhere()], fakes(), Some(log)).unwrap();
    let of_row = |code: &str| endpoint(&format!("/{code}/"), route(None, &[&format!("refuse {code}")]));
    gateway.load(Plan { endpoints: TABLE.iter().map(|row| of_row(row.code)).collect(), ..Plan::default() }).unwrap();
    let mut wire = Wire::connect(gateway.addresses()[0]).await;

    let mut ids = Vec::new();
    for row in &TABLE {
        let answer = wire.ask(format!("GET /{}/ HTTP/1.1\r\nHost: a\r\n\r\n", row.code)).await;
        assert_eq!(answer.status(), row.status.as_u16(), "{}", row.code);
        assert_eq!(answer.one("www-authenticate"), row.challenge, "{}", row.code);
        assert_eq!(answer.one("retry-after").is_some(), row.status == 503, "{}", row.code);
        assert_eq!(answer.one("cache-control"), Some("no-store"), "{}", row.code);
        let id = answer.one("x-kong-request-id").unwrap().to_owned();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let told = [&body["message"], &body["error"], &body["error_description"], &body["request_id"]];
        assert_eq!(told, [row.message, row.error, row.description, &id], "{}", row.code);
        ids.push(id);
    }

    let metrics = gateway.metrics().encode();
    for row in &TABLE {
        let line = format!("portcullis_refusals_total{{reason=\"{}\"}} 1", row.code);
        assert_eq!(metrics.lines().filter(|found| *found == line).count(), 1, "{line}\n{metrics}");
    }

    // Dropped, the gateway writes what is left of its log.
    drop(wire);
    gateway.drain(crate::wire::PATIENCE).await;
    drop(gateway);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (row, id) in TABLE.iter().zip(&ids) {
        let line =
            lines.iter().find(|line| line["request_id"] == **id).unwrap_or_else(|| panic!("{}: {text}", row.code));
        assert_eq!((&line["reason"], &line["status"]), (&row.code.into(), &row.status.as_u16().into()));
    }
}
