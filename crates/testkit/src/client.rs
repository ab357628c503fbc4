//! A raw HTTP/1.1 client: sends the bytes it is given and parses what comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::wait::DEADLINE;

/// One client connection. It sends what it is told, however wrong, and understands length, chunks and close.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order of arrival, repeated ones included.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Client {
    /// Connects; every read and write is bounded by the test equipment's deadline.
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap_or_else(|e| panic!("connecting to {addr}: {e}"));
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), host: addr.to_string() }
    }

    /// The `Host` of the helpers below; the address connected to unless set.
    pub fn host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the peer reads");
    }

    /// Sends a request without a body on this connection and reads its answer.
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        let head = self.head(method, target, headers);
        self.send(format!("{head}\r\n"));
        self.read(method == "HEAD")
    }

    /// `GET` on this connection.
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", target, headers)
    }

    /// `POST` of a body with its length.
    pub fn post(&mut self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let head = self.head("POST", target, headers);
        self.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
        self.send(body);
        self.read(false)
    }

    /// `POST` of form fields.
    pub fn form(&mut self, target: &str, fields: &[(&str, &str)]) -> Response {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post(target, &[("Content-Type", "application/x-www-form-urlencoded")], body.as_bytes())
    }

    /// Reads the answer to a request that was sent by [`send`](Self::send).
    pub fn response(&mut self) -> Response {
        self.read(false)
    }

    /// True once the peer has closed the connection and nothing more is to be read.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }

    /// Ends the sending half, as a client does that has said all.
    pub fn finish(&mut self) {
        self.stream.get_mut().shutdown(Shutdown::Write).unwrap();
    }

    fn head(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    fn read(&mut self, without_body: bool) -> Response {
        let line = self.line();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let headers = self.fields();
        if (100..200).contains(&status) {
            return self.read(without_body);
        }
        let mut response = Response { status, headers, body: Vec::new(), trailers: Vec::new() };
        if without_body || status == 204 || status == 304 {
            return response;
        }
        if response.header("transfer-encoding") == Some("chunked") {
            self.chunks(&mut response.body);
            response.trailers = self.fields();
        } else if let Some(length) = response.header("content-length") {
            response.body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut response.body).expect("the whole body");
        } else {
            self.stream.read_to_end(&mut response.body).expect("a body until the close");
        }
        response
    }

    fn chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let line = self.line();
            let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no chunk size: {line:?}"));
            if size == 0 {
                return;
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..]).expect("a whole chunk");
            assert_eq!(self.line(), "", "a chunk ends with its line end");
        }
    }

    fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return fields;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header line: {line:?}"));
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).expect("an answer in time");
        assert!(line.ends_with(b"\r\n"), "the connection ended inside a line: {:?}", String::from_utf8_lossy(&line));
        line.truncate(line.len() - 2);
        String::from_utf8_lossy(&line).into_owned()
    }
}

impl Response {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of this header (lower case name).
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none; the text is shown.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}
