//! Why a connection is not made: the client keeps the cause to itself, so the steps are gone once more, one by one.
//!
//! The host's name, a connection, TLS, and the protocol's first command, whose answer says whether the login is taken.

use super::{client::Failure, settings::Settings};
use crate::probe::ProbeStep;
use openssl::{
    ssl::{HandshakeError, SslConnector, SslMethod},
    x509::X509,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

/// Each step may take so long.
const STEP: Duration = Duration::from_secs(2);
/// The largest answer that is looked at: the first command's is some tens of bytes.
const MOST: usize = 64 << 10;
const AUTHENTICATION_ERROR: u64 = 3;
const AUTHORIZATION_ERROR: u64 = 4;

/// Why the first broker is not reached with this token; `None` where everything goes well now.
pub(super) async fn why(settings: &Settings, token: Option<String>, trust: Option<Vec<u8>>) -> Option<Failure> {
    let url = settings.urls.first()?.clone();
    tokio::task::spawn_blocking(move || look(&url, token.as_deref(), trust.as_deref()).err()).await.ok().flatten()
}

fn look(url: &str, token: Option<&str>, trust: Option<&[u8]>) -> Result<(), Failure> {
    let (scheme, address) = url.split_once("://").unwrap_or(("pulsar", url));
    let tls = scheme == "pulsar+ssl";
    let (host, port) = address.rsplit_once(':').unwrap_or((address, if tls { "6651" } else { "6650" }));
    let stream = connect(host, port)?;
    if !tls {
        return ask(stream, token, tls);
    }
    let failed = |what: String| {
        let remedy = "name the authority that signed the broker's certificate in stream.pulsar.tlsTrustCertsFilePath, and \
                      the broker as its certificate does; or look whether the port speaks TLS";
        Failure::new(ProbeStep::Tls, what, remedy)
    };
    let connector = SslConnector::builder(SslMethod::tls()).and_then(|mut builder| {
        for certificate in X509::stack_from_pem(trust.unwrap_or_default())? {
            builder.cert_store_mut().add_cert(certificate)?;
        }
        Ok(builder.build())
    });
    match connector.map_err(|error| failed(error.to_string()))?.connect(host, stream) {
        Ok(stream) => ask(stream, token, tls),
        Err(HandshakeError::Failure(broken)) => Err(failed(format!("{address}: {}", broken.error()))),
        Err(error) => Err(failed(format!("{address}: {error}"))),
    }
}

fn connect(host: &str, port: &str) -> Result<TcpStream, Failure> {
    let port: u16 = port.parse().unwrap_or(6650);
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        let remedy = "correct the host in stream.pulsar.bootstrap.servers, or what this node knows of names";
        Failure::new(ProbeStep::Dns, format!("{host}: {error}"), remedy)
    })?;
    let mut failed = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, STEP) {
            Ok(stream) => {
                let set = stream.set_read_timeout(Some(STEP)).and_then(|()| stream.set_write_timeout(Some(STEP)));
                set.map_err(|error| unreachable_at(&error.to_string()))?;
                return Ok(stream);
            }
            Err(error) => failed = Some(error),
        }
    }
    let why = failed.map_or_else(|| "the name leads nowhere".to_owned(), |error| error.to_string());
    Err(unreachable_at(&format!("{host}:{port}: {why}")))
}

fn unreachable_at(what: &str) -> Failure {
    let remedy =
        "look whether the brokers run, and whether this node may reach the port of stream.pulsar.bootstrap.servers";
    Failure::new(ProbeStep::Tcp, what, remedy)
}

/// Says the first command and reads whether it is taken.
fn ask(mut stream: impl Read + Write, token: Option<&str>, tls: bool) -> Result<(), Failure> {
    let answer = stream.write_all(&hello(token)).and_then(|()| {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut answer = vec![0; (u32::from_be_bytes(size) as usize).min(MOST)];
        stream.read_exact(&mut answer).map(|()| answer)
    });
    match answer {
        Ok(answer) => match refusal(&answer) {
            Some((AUTHENTICATION_ERROR, said)) => {
                let remedy = "correct stream.pulsar.authenticationToken, or issuerUrl and credsFilePath";
                Err(Failure::new(ProbeStep::Login, said, remedy))
            }
            Some((AUTHORIZATION_ERROR, said)) => {
                Err(Failure::new(ProbeStep::Acl, said, "give the role of the token its rights"))
            }
            Some((_, said)) => Err(Failure::new(ProbeStep::Read, said, "look at the broker's log")),
            None => Ok(()),
        },
        Err(error) if !tls && matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            let remedy = "a port that wants TLS closes so: name it with pulsar+ssl://";
            Err(Failure::new(ProbeStep::Tls, "the connection is closed at the first word", remedy))
        }
        Err(error) => Err(unreachable_at(&error.to_string())),
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn text(bytes: &mut Vec<u8>, field: u8, text: &str) {
    bytes.push(field << 3 | 2);
    varint(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// `CONNECT` with a frame around it: sizes of both in four bytes.
fn hello(token: Option<&str>) -> Vec<u8> {
    let mut connect = vec![];
    text(&mut connect, 1, "weir");
    if let Some(token) = token {
        text(&mut connect, 3, token);
        text(&mut connect, 5, "token");
    }
    connect.extend([4 << 3, 12]);
    let mut command = vec![1 << 3, 2, 2 << 3 | 2];
    varint(&mut command, connect.len());
    command.extend(connect);
    let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = size(command.len() + 4).to_vec();
    frame.extend(size(command.len()));
    frame.extend(command);
    frame
}

/// Fields of a message: numbers, and bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn number(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
    let mut found = vec![];
    while let Some(tag) = number(&mut bytes) {
        match tag & 7 {
            0 => match number(&mut bytes) {
                Some(value) => found.push((tag >> 3, value, &[][..])),
                None => break,
            },
            2 => {
                let Some(size) = number(&mut bytes).and_then(|size| usize::try_from(size).ok()) else { break };
                let Some((value, rest)) = bytes.split_at_checked(size) else { break };
                bytes = rest;
                found.push((tag >> 3, 0, value));
            }
            _ => break,
        }
    }
    found
}

/// The code and the text of an answer that is an error.
fn refusal(answer: &[u8]) -> Option<(u64, String)> {
    let command = fields(answer.get(4..)?);
    let (_, _, error) = command.into_iter().find(|(field, _, value)| *field == 14 && !value.is_empty())?;
    let error = fields(error);
    let code = error.iter().find(|(field, ..)| *field == 2)?.1;
    let said =
        error.iter().find(|(field, ..)| *field == 3).map(|(_, _, said)| String::from_utf8_lossy(said).into_owned());
    Some((code, said.unwrap_or_else(|| format!("error {code}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        // An error (14) of code 3 with a text, behind its type and its size.
        let answer = [0, 0, 0, 12, 0x08, 14, 0x72, 8, 0x08, 0, 0x10, 3, 0x1a, 2, b'n', b'o'];
        assert_eq!(refusal(&answer), Some((3, "no".to_owned())));
        let connected = [0, 0, 0, 6, 0x08, 3, 0x1a, 2, 0x0a, 0];
        assert_eq!(refusal(&connected), None);
        assert_eq!(refusal(&[0, 0, 0, 9, 0x72, 200]), None, "cut short");
    }

    #[test]
    fn the_first_command_is_framed() {
        let frame = hello(Some("t"));
        assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
        let command = fields(&frame[8..]);
        assert_eq!(command[0], (1, 2, &[][..]));
        let connect = fields(command[1].2);
        assert!(connect.contains(&(3, 0, &b"t"[..])) && connect.contains(&(5, 0, &b"token"[..])));
    }
}
