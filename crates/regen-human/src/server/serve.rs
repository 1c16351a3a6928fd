//! The loop: receive, check who asks, answer.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tiny_http::{Method, Request};

use super::api::Desk;
use super::guard;
use super::reply::Reply;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::study::Study;

/// Requests are small: a longer body is none of the page's.
const LONGEST_BODY: u64 = 16 * 1024;

/// So many requests are answered at once; browsers open several connections.
const THREADS: usize = 4;

/// A study on a port of this machine.
pub struct Server {
    http: tiny_http::Server,
    address: SocketAddr,
    desk: Mutex<Desk>,
    stopped: AtomicBool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at `port` of the loopback address, or at a free one for 0. No other machine can reach it.
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub fn bind(port: u16, study: Study, store: Store) -> Result<Self> {
        let refused = |source| Error::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let http = tiny_http::Server::from_listener(listener, None)
            .map_err(|source| refused(std::io::Error::other(source)))?;
        Ok(Self { http, address, desk: Mutex::new(Desk::new(study, store)), stopped: AtomicBool::new(false) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until [`stop`](Self::stop) is called from another thread.
    pub fn serve(&self) {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| self.work());
            }
        });
    }

    /// Ends [`serve`](Self::serve) within a moment. Nothing is lost: every answer is stored already.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    fn work(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            // A broken connection is its browser's affair, and a client that hung up needs no answer.
            if let Ok(Some(mut request)) = self.http.recv_timeout(Duration::from_millis(200)) {
                let reply = self.answer(&mut request);
                let _ = request.respond(reply.into_response());
            }
        }
    }

    fn answer(&self, request: &mut Request) -> Reply {
        if let Err(refused) = guard::check(request.method(), request.headers(), self.address.port()) {
            return refused;
        }
        let path = request.url().split('?').next().unwrap_or_default().to_owned();
        match request.method() {
            Method::Get => Reply::file(&path).unwrap_or_else(|| Reply::error(404, "there is nothing here")),
            Method::Post => {
                let mut body = Vec::new();
                match request.as_reader().take(LONGEST_BODY + 1).read_to_end(&mut body) {
                    Err(error) => return Reply::error(400, &error.to_string()),
                    Ok(_) if body.len() as u64 > LONGEST_BODY => return Reply::error(413, "too long"),
                    Ok(_) => {}
                }
                // A thread that failed in between left no half answer: SQLite's transactions see to that.
                let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
                match desk.ask(&path, &body) {
                    Some(Ok(value)) => Reply::json(&value),
                    Some(Err(Error::Refused { reason })) => Reply::error(400, &reason),
                    Some(Err(error)) => Reply::error(500, &with_causes(&error)),
                    None => Reply::error(404, "there is nothing here"),
                }
            }
            _ => Reply::error(405, "only GET and POST"),
        }
    }
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
