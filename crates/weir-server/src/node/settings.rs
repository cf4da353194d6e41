//! What a node is started with, and where it then answers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use weir_ingest::DiskFloor;

/// Pinot's controller port.
pub const DEFAULT_CONTROLLER_PORT: u16 = 9000;
/// Pinot's broker port.
pub const DEFAULT_BROKER_PORT: u16 = 8099;
/// Pinot's server port: no socket of ours, part of the name under which segment records list this node.
const SERVER_PORT: u16 = 8098;

/// Settings of a node.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// Everything durable lies here.
    pub data_dir: PathBuf,
    /// The address to listen on.
    pub listen: IpAddr,
    /// Port of the controller's REST; 0 takes a free one.
    pub controller_port: u16,
    /// Port of the broker's REST; 0 takes a free one.
    pub broker_port: u16,
    /// The host that clients are told, where it is not the address listened on.
    pub advertise: Option<String>,
    /// URI of the deep store; a folder in the data folder where there is none.
    pub deep_store: Option<String>,
    /// Settings of the deep store: `endpoint`, `region`, `access_key_id` and so on.
    pub deep_store_settings: BTreeMap<String, String>,
    /// Threads that answer queries.
    pub query_threads: usize,
    /// Memory that all queries share, in bytes.
    pub query_memory_bytes: u64,
    /// Memory that rows which are no segment files yet and messages that wait for them may hold, in bytes.
    pub ingest_memory_bytes: u64,
    /// How much of the disk stays free of local copies of what the deep store has.
    pub disk_floor: DiskFloor,
    /// A query that names no time-out has this.
    pub query_timeout: Duration,
    /// How often new and vanished partitions are looked for.
    pub discovery_every: Duration,
    /// How long a stream may take to answer when a table is made.
    pub creation_timeout: Duration,
    /// Most bytes of a body that is posted to a topic: what a client may send at once is held in memory.
    pub produce_body_bytes: usize,
}

impl NodeSettings {
    /// The defaults of `weir start`.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: Ipv4Addr::LOCALHOST.into(),
            controller_port: DEFAULT_CONTROLLER_PORT,
            broker_port: DEFAULT_BROKER_PORT,
            advertise: None,
            deep_store: None,
            deep_store_settings: BTreeMap::new(),
            query_threads: std::thread::available_parallelism().map_or(2, usize::from),
            query_memory_bytes: quarter_of_memory(),
            ingest_memory_bytes: quarter_of_memory(),
            disk_floor: DiskFloor::default(),
            query_timeout: Duration::from_secs(10),
            discovery_every: Duration::from_secs(5),
            creation_timeout: Duration::from_secs(5),
            produce_body_bytes: 16 << 20,
        }
    }

    /// The URI of the deep store.
    #[must_use]
    pub fn deep_store_uri(&self) -> String {
        let default = || format!("file://{}", self.absolute_data_dir().join("deep-store").display());
        self.deep_store.clone().unwrap_or_else(default)
    }

    /// The data folder from the root on.
    #[must_use]
    pub fn absolute_data_dir(&self) -> PathBuf {
        std::path::absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone())
    }
}

/// Reads a floor of the disk: `10%`, or a size such as `20GiB` or `512MiB`; `0` is none.
///
/// # Errors
/// If it is neither, with what would be.
pub fn disk_floor(text: &str) -> Result<DiskFloor, String> {
    let wrong = || format!("'{text}' is neither a share of the disk such as 10% nor a size such as 20GiB or 512MiB");
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u8 = percent.trim().parse().map_err(|_| wrong())?;
        if percent > 90 {
            return Err(format!("'{text}' leaves no room for data: 90% is the most"));
        }
        return Ok(DiskFloor::Share { percent, at_most: u64::MAX });
    }
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("", 0)];
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).ok_or_else(wrong)?;
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if shift == 0 && bytes > 0 {
        return Err(format!("'{text}' has no unit: write {text}MiB or {text}GiB"));
    }
    Ok(DiskFloor::Bytes(bytes))
}

/// A quarter of the machine's memory, at least 256 MiB (a query or a busy stream needs some) and at most 8 GiB (the rest
/// serves as page cache for segments).
fn quarter_of_memory() -> u64 {
    let total_kib = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    // Where nobody says how much there is, 4 GiB are assumed.
    (total_kib.unwrap_or(4 << 20) * 1024 / 4).clamp(256 << 20, 8 << 30)
}

/// Where a node answers and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The host that clients use.
    pub host: String,
    /// The controller's socket.
    pub controller: SocketAddr,
    /// The broker's socket.
    pub broker: SocketAddr,
}

impl Addresses {
    /// Of bound sockets. A node that listens on all addresses is known by the machine's name.
    #[must_use]
    pub fn new(settings: &NodeSettings, controller: SocketAddr, broker: SocketAddr) -> Self {
        let host = settings.advertise.clone().unwrap_or_else(|| match settings.listen {
            ip if ip.is_unspecified() => machine_name().unwrap_or_else(|| "localhost".to_owned()),
            ip => ip.to_string(),
        });
        Self { host, controller, broker }
    }

    /// `Controller_host_port`.
    #[must_use]
    pub fn controller_id(&self) -> String {
        format!("Controller_{}_{}", self.host, self.controller.port())
    }

    /// `Broker_host_port`.
    #[must_use]
    pub fn broker_id(&self) -> String {
        format!("Broker_{}_{}", self.host, self.broker.port())
    }

    /// `Server_host_port`: the name in segment records, the same at every start.
    #[must_use]
    pub fn server_id(&self) -> Arc<str> {
        format!("Server_{}_{SERVER_PORT}", self.host).into()
    }

    /// URL of the controller as this machine reaches it.
    #[must_use]
    pub fn controller_url(&self) -> String {
        local_url(self.controller)
    }

    /// URL of the broker as this machine reaches it.
    #[must_use]
    pub fn broker_url(&self) -> String {
        local_url(self.broker)
    }
}

/// A socket that listens everywhere is reached at the loop-back address.
fn local_url(address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_of_the_disk_is_a_share_or_a_size() {
        for (text, floor) in [
            ("0", DiskFloor::Bytes(0)),
            ("512MiB", DiskFloor::Bytes(512 << 20)),
            ("20 GiB", DiskFloor::Bytes(20 << 30)),
            ("10%", DiskFloor::Share { percent: 10, at_most: u64::MAX }),
        ] {
            assert_eq!(disk_floor(text), Ok(floor), "{text}");
        }
        for text in ["", "ten", "91%", "-1%", "20", "20GB", "99999999TiB"] {
            let error = disk_floor(text).unwrap_err();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn names_carry_host_and_port() {
        let settings = NodeSettings::new("/data");
        let socket = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let addresses = Addresses::new(&settings, socket(9000), socket(8099));
        assert_eq!(addresses.broker_id(), "Broker_127.0.0.1_8099");
        assert_eq!(&*addresses.server_id(), "Server_127.0.0.1_8098");
        assert_eq!(addresses.controller_url(), "http://127.0.0.1:9000");
        assert_eq!(settings.deep_store_uri(), "file:///data/deep-store");
    }

    #[test]
    fn a_node_on_all_addresses_is_reached_on_one() {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 1);
        let settings = NodeSettings { listen: any.ip(), advertise: Some("db1".into()), ..NodeSettings::new("d") };
        let addresses = Addresses::new(&settings, any, any);
        assert_eq!(
            (addresses.broker_id().as_str(), addresses.broker_url().as_str()),
            ("Broker_db1_1", "http://127.0.0.1:1")
        );
        assert!(settings.absolute_data_dir().is_absolute());
    }
}
