//! Values that stand elsewhere: `env://NAME` and `file://PATH` (D14).

use crate::failure::plain;

/// The text behind a reference. A final line end, which editors and `echo` leave behind, is not part of it.
pub(crate) fn resolve(reference: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let text = if let Some(name) = reference.strip_prefix("env://") {
        environment(name).ok_or_else(|| format!("environment variable {name} is not set"))?
    } else if let Some(path) = reference.strip_prefix("file://") {
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {}", plain(&error)))?
    } else {
        return Err("expected a reference; write env://NAME or file://PATH".to_owned());
    };
    Ok(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn references() {
        let environment = |name: &str| (name == "CA").then(|| "pem\r\n".to_owned());
        assert_eq!(resolve("env://CA", &environment), Ok("pem".to_owned()));
        let rows = [
            ("env://NO", "environment variable NO is not set"),
            ("file:///no/such/file", "cannot read /no/such/file: there is no such file"),
            ("in clear", "expected a reference"),
        ];
        for (reference, wanted) in rows {
            let error = resolve(reference, &environment).expect_err(reference);
            assert!(error.starts_with(wanted), "{reference}: {error}");
        }
    }
}
