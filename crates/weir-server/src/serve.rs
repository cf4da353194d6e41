//! The process in the process: sockets bound, node opened, both ports answering, until it is stopped.

use crate::{
    connections::{self, ConnectionLimits},
    node::{Addresses, Node, NodeSettings, OpenError},
    rest,
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Requests that are under way when the process is told to stop have this long: the default time-out of a query.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// Rows that are not on the local disk yet are written within this: a disk that takes longer keeps nobody from stopping.
const LAST_ROWS: Duration = Duration::from_secs(3);
/// Ended connections let go of the node within microseconds; whoever holds it longer does so on purpose.
const LET_GO: Duration = Duration::from_secs(1);

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port.
    #[error("cannot listen on {address} for the {role}: {source}{remedy}")]
    Port {
        /// `controller` or `broker`.
        role: &'static str,
        /// Where.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
    /// The node.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A node with its ports.
pub struct Server {
    /// The node.
    pub node: Arc<Node>,
    /// The controller's socket.
    pub controller: SocketAddr,
    /// The broker's socket.
    pub broker: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds the ports, opens the node and serves both. Requests that come before the node is open wait.
    pub async fn start(settings: NodeSettings) -> Result<Self, StartError> {
        Self::start_within(settings, ConnectionLimits::default()).await
    }

    /// The same with other bounds of each port.
    pub async fn start_within(settings: NodeSettings, limits: ConnectionLimits) -> Result<Self, StartError> {
        let controller = bind("controller", settings.listen, settings.controller_port).await?;
        let broker = bind("broker", settings.listen, settings.broker_port).await?;
        let addresses = Addresses::new(&settings, address(&controller), address(&broker));
        let node = Node::open(settings, addresses).await?;
        let (stop, stopped) = watch::channel(false);
        let (at, broker_at) = (address(&controller), address(&broker));
        let serve = |listener, router, stopped| tokio::spawn(connections::serve(listener, router, limits, stopped));
        let tasks = vec![
            serve(controller, rest::controller().serve(node.clone()), stopped.clone()),
            serve(broker, rest::broker().serve(node.clone()), stopped),
        ];
        Ok(Self { node, controller: at, broker: broker_at, stop, tasks })
    }

    /// Takes no new connection, lets requests end, ends consumption.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let ended = futures::future::join_all(self.tasks);
        if tokio::time::timeout(LAST_REQUESTS, ended).await.is_err() {
            tracing::warn!("requests were still under way when the process stopped");
        }
        self.node.keep(LAST_ROWS).await;
        self.node.stop();
        self.node.ended().await;
        // Connections let go of the node a moment after they have ended; whoever starts the next one needs its folder.
        let until = tokio::time::Instant::now() + LET_GO;
        while Arc::strong_count(&self.node) > 1 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}

async fn bind(role: &'static str, listen: IpAddr, port: u16) -> Result<TcpListener, StartError> {
    let address = SocketAddr::new(listen, port);
    TcpListener::bind(address).await.map_err(|source| {
        let remedy = match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!("; stop the process that has the port, or choose another with --{role}-port")
            }
            io::ErrorKind::PermissionDenied => format!("; choose a port above 1023 with --{role}-port"),
            io::ErrorKind::AddrNotAvailable => "; choose an address of this machine with --listen".to_owned(),
            _ => String::new(),
        };
        StartError::Port { role, address, source, remedy }
    })
}
