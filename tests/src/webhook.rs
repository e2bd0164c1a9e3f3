//! A server of HTTP to which somebody else posts, by hand: what came, and an answer that the test chooses.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest that a connection may be idle: then it is closed, as servers do.
const IDLE: Duration = Duration::from_secs(60);

/// What was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The path with the query.
    pub path: String,
    /// In their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Posted {
    /// The value of a header, `""` where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find_map(|(key, value)| (key == name).then_some(value.as_str())).unwrap_or_default()
    }
}

/// Says what is answered, byte for byte; nothing closes the connection.
type Answering = Box<dyn Fn(&Posted) -> Vec<u8> + Send + Sync>;

struct Shared {
    posted: Mutex<Vec<Posted>>,
    answering: Answering,
    connections: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

/// A server on a free port of 127.0.0.1, until it is dropped.
pub struct Webhook {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// An answer without a body.
#[must_use]
pub fn status(code: u16) -> Vec<u8> {
    format!("HTTP/1.1 {code} Some\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

impl Webhook {
    /// One that answers everything with 200.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::answering(|_| status(200))
    }

    /// One that answers as it is told.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn answering(answer: impl Fn(&Posted) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            posted: Mutex::default(),
            answering: Box::new(answer),
            connections: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                if let Ok(kept) = stream.try_clone() {
                    shared.connections.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
                }
                // Who goes away in the middle is no news here.
                std::thread::spawn(move || serve(stream, &shared).unwrap_or_default());
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT/` and this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come so far.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.shared.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has come so far, and is forgotten.
    #[must_use]
    pub fn take(&self) -> Vec<Posted> {
        std::mem::take(&mut *self.shared.posted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be gone already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Wakes the one that accepts, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut writing = stream.try_clone()?;
    let mut reading = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reading.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reading.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut posted = Posted { path, headers, body: String::new() };
        let length = posted.header("content-length").parse().unwrap_or(0);
        let mut body = vec![0; length];
        reading.read_exact(&mut body)?;
        posted.body = String::from_utf8_lossy(&body).into_owned();
        let answer = (shared.answering)(&posted);
        shared.posted.lock().unwrap_or_else(PoisonError::into_inner).push(posted);
        if answer.is_empty() {
            return Ok(());
        }
        writing.write_all(&answer)?;
    }
}
