//! A way to the broker on which it tells of itself what a test wants: that the cluster has no brokers, or that its leaders
//! are younger than they are.
//!
//! Only answers to Metadata are changed, of the versions that the library asks a broker of today for (12 and 13).

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const METADATA: i16 = 3;
/// Topics that nobody knows, told where the brokers are not: the library is at work with such an answer for longer than it
/// takes to close a connection, as it is with those of a large cluster.
const STRANGERS: usize = 20_000;

/// What the broker is made to say.
#[derive(Default)]
struct Told {
    hides: AtomicBool,
    raises: AtomicI32,
    held: AtomicBool,
}

/// Dropping it leaves its connections open until its clients close them.
pub(crate) struct Proxy {
    /// Where clients find it.
    pub(crate) address: String,
    told: Arc<Told>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// One in front of the broker at `address`.
    pub(crate) async fn start(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address");
        let (told, broker) = (Arc::new(Told::default()), address.to_owned());
        let accepting = tokio::spawn({
            let told = told.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let Ok(broker) = TcpStream::connect(&broker).await else { continue };
                    tokio::spawn(pass(client, broker, own, told.clone()));
                }
            }
        });
        Self { address: own.to_string(), told, accepting }
    }

    /// Whether the cluster has no brokers, as one says that is just going away.
    pub(crate) fn hide_brokers(&self, hides: bool) {
        self.told.hides.store(hides, SeqCst);
    }

    /// By how much the leaders are younger than they are.
    pub(crate) fn raise_epochs(&self, by: i32) {
        self.told.raises.store(by, SeqCst);
    }

    /// Questions about topics wait.
    pub(crate) fn hold(&self, held: bool) {
        self.told.held.store(held, SeqCst);
    }
}

/// Passes on what both say until one of them has enough.
async fn pass(client: TcpStream, broker: TcpStream, own: SocketAddr, told: Arc<Told>) {
    let asked: Mutex<HashSet<[u8; 4]>> = Mutex::default();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let asks = async {
        loop {
            let request = frame(&mut from_client).await?;
            let (key, version) =
                (i16::from_be_bytes([request[0], request[1]]), i16::from_be_bytes([request[2], request[3]]));
            if key == METADATA {
                assert!((12..=13).contains(&version), "version {version} of Metadata is not known here");
                while told.held.load(SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                asked.lock().expect("whole").insert(request[4..8].try_into().expect("four"));
            }
            send(&mut to_broker, &request).await?;
        }
    };
    let answers = async {
        loop {
            let mut answer = frame(&mut from_broker).await?;
            if asked.lock().expect("whole").remove(&answer[..4]) {
                answer = Rewriting { rest: &answer, out: vec![] }.metadata(own.port(), &told);
            }
            send(&mut to_client, &answer).await?;
        }
    };
    let ended: io::Result<()> = tokio::select! { ended = asks => ended, ended = answers => ended };
    drop(ended);
}

async fn frame(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn send(to: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(&[&u32::try_from(bytes.len()).expect("a frame").to_be_bytes(), bytes].concat()).await
}

/// An answer that is written anew while it is read.
struct Rewriting<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl Rewriting<'_> {
    fn metadata(mut self, port: u16, told: &Told) -> Vec<u8> {
        let (hides, raises) = (told.hides.load(SeqCst), told.raises.load(SeqCst));
        self.copy(4); // correlation
        self.tags();
        self.copy(4); // throttled for
        let brokers = self.number();
        self.write_number(if hides { 1 } else { brokers });
        let before = self.out.len();
        for _ in 1..brokers {
            self.copy(4); // number
            self.string();
            self.take(4);
            self.out.extend(u32::from(port).to_be_bytes());
            self.string(); // rack
            self.tags();
        }
        if hides {
            self.out.truncate(before);
        }
        self.string(); // cluster
        self.copy(4); // controller
        let (topics, strangers) = (self.number(), if hides { STRANGERS } else { 0 });
        self.write_number(topics + strangers);
        for _ in 1..topics {
            self.copy(2); // error
            self.string();
            self.copy(16 + 1); // identity, whether internal
            let partitions = self.number();
            self.write_number(partitions);
            for _ in 1..partitions {
                self.copy(2 + 4 + 4); // error, number, leader
                let epoch = i32::from_be_bytes(self.take(4).try_into().expect("four"));
                self.out.extend((epoch + raises).to_be_bytes());
                (0..3).for_each(|_| self.numbers()); // replicas, those in sync, those offline
                self.tags();
            }
            self.copy(4); // rights
            self.tags();
        }
        for number in 0..strangers {
            let name = format!("stranger-{number}");
            self.out.extend(3_u16.to_be_bytes()); // there is no such topic
            self.write_number(name.len() + 1);
            self.out.extend(name.bytes());
            self.out.extend([0; 16 + 1]);
            self.write_number(1);
            self.out.extend(i32::MIN.to_be_bytes());
            self.write_number(0);
        }
        self.copy(self.rest.len());
        self.out
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken.to_vec()
    }

    fn copy(&mut self, count: usize) {
        let taken = self.take(count);
        self.out.extend(taken);
    }

    fn number(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
            shift += 7;
        }
    }

    fn write_number(&mut self, mut value: usize) {
        while value > 0x7f {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Its length is told with one more; none at all with zero.
    fn string(&mut self) {
        let length = self.number();
        self.write_number(length);
        self.copy(length.saturating_sub(1));
    }

    fn numbers(&mut self) {
        let count = self.number();
        self.write_number(count);
        self.copy(4 * count.saturating_sub(1));
    }

    fn tags(&mut self) {
        let count = self.number();
        self.write_number(count);
        for _ in 0..count {
            let tag = self.number();
            self.write_number(tag);
            let length = self.number();
            self.write_number(length);
            self.copy(length);
        }
    }
}
