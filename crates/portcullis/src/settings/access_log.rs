//! Where the access log goes: `off`, `-` or a path.

use std::path::PathBuf;

/// Where one line per request is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessLogTo {
    Nowhere,
    StandardOutput,
    /// Appended to; created when it is not there.
    File(PathBuf),
}

/// Reads the setting.
pub(crate) fn parse(text: &str) -> Result<AccessLogTo, String> {
    match text {
        "" => Err("the access log is missing; write off, a path, or - for standard output".to_owned()),
        "off" => Ok(AccessLogTo::Nowhere),
        "-" => Ok(AccessLogTo::StandardOutput),
        path => Ok(AccessLogTo::File(PathBuf::from(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds() {
        assert_eq!(parse("off"), Ok(AccessLogTo::Nowhere));
        assert_eq!(parse("-"), Ok(AccessLogTo::StandardOutput));
        assert_eq!(parse("./off"), Ok(AccessLogTo::File("./off".into())));
        assert!(parse("").is_err());
    }
}
