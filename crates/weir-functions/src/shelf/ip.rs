//! Addresses of IP and their networks, of version 4 and 6.

use super::{
    Function,
    gives::{BOOLEAN, BYTES, INT, LONG, STRING, STRINGS},
};
use crate::datum::{Datum, Fault, list, text};
use bumpalo::Bump;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn address(datum: Datum<'_>, arena: &Bump) -> Result<IpAddr, Fault> {
    read(datum, arena).ok_or_else(|| Fault::new(format!("an IP address is expected, got {}", datum.shown())))
}

fn read(datum: Datum<'_>, _: &Bump) -> Option<IpAddr> {
    match datum {
        Datum::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn network(datum: Datum<'_>) -> Result<IpNet, Fault> {
    let read = match datum {
        Datum::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| {
        Fault::new(format!("a network such as 10.0.0.0/8 or 2001:db8::/32 is expected, got {}", datum.shown()))
    })
}

/// A network, or an address as the network of it alone.
fn either(datum: Datum<'_>, arena: &Bump) -> Result<IpNet, Fault> {
    read(datum, arena).map_or_else(|| network(datum), |address| Ok(IpNet::from(address)))
}

fn shown<'a>(address: impl std::fmt::Display, arena: &'a Bump) -> Datum<'a> {
    text(&address.to_string(), arena)
}

fn v4(datum: Datum<'_>, arena: &Bump) -> Result<Ipv4Addr, Fault> {
    match read(datum, arena) {
        Some(IpAddr::V4(address)) => Ok(address),
        _ => Err(Fault::new(format!("an IPv4 address is expected, got {}", datum.shown()))),
    }
}

fn v6(datum: Datum<'_>, arena: &Bump) -> Result<Ipv6Addr, Fault> {
    match read(datum, arena) {
        Some(IpAddr::V6(address)) => Ok(address),
        _ => Err(Fault::new(format!("an IPv6 address is expected, got {}", datum.shown()))),
    }
}

/// The networks that no router of the internet knows: RFC 1918 and 4193, and those of one machine or one link.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local(),
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["isSubnetOf"], 2, 2, BOOLEAN, |args, arena| {
        Ok(Datum::Bool(network(args[0])?.contains(&either(args[1], arena)?)))
    }),
    Function::plain(&["ipPrefix"], 2, 2, STRING, |args, arena| {
        let (address, bits) = (address(args[0], arena)?, args[1].long()?);
        let network = u8::try_from(bits).ok().and_then(|bits| IpNet::new(address, bits).ok());
        let network = network.ok_or_else(|| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            Fault::new(format!("a prefix of {bits} bits cannot be; 0 to {most} can"))
        })?;
        Ok(shown(network.trunc(), arena))
    }),
    Function::plain(&["ipSubnetMin"], 1, 1, STRING, |args, arena| Ok(shown(network(args[0])?.network(), arena))),
    Function::plain(&["ipSubnetMax"], 1, 1, STRING, |args, arena| Ok(shown(network(args[0])?.broadcast(), arena))),
    Function::plain(&["isIPv4String"], 1, 1, BOOLEAN, |args, arena| {
        Ok(Datum::Bool(read(args[0], arena).is_some_and(|address| address.is_ipv4())))
    }),
    Function::plain(&["isIPv6String"], 1, 1, BOOLEAN, |args, arena| {
        Ok(Datum::Bool(read(args[0], arena).is_some_and(|address| address.is_ipv6())))
    }),
    Function::plain(&["ipv4ToLong"], 1, 1, LONG, |args, arena| Ok(Datum::Long(u32::from(v4(args[0], arena)?).into()))),
    Function::plain(&["longToIpv4"], 1, 1, STRING, |args, arena| {
        let number = args[0].long()?;
        let bits = u32::try_from(number)
            .map_err(|_| Fault::new(format!("{number} is no IPv4 address; 0 to {} are", u32::MAX)))?;
        Ok(shown(Ipv4Addr::from(bits), arena))
    }),
    Function::plain(&["ipv6ToBytes"], 1, 1, BYTES, |args, arena| {
        Ok(Datum::Bytes(arena.alloc_slice_copy(&v6(args[0], arena)?.octets())))
    }),
    Function::plain(&["bytesToIpv6"], 1, 1, STRING, |args, arena| {
        let octets: Option<[u8; 16]> = args[0].bytes(arena)?.try_into().ok();
        let octets = octets.ok_or_else(|| Fault::new(format!("16 bytes are expected, got {}", args[0].shown())))?;
        Ok(shown(Ipv6Addr::from(octets), arena))
    }),
    Function::plain(&["ipv4ToIpv6"], 1, 1, STRING, |args, arena| {
        Ok(shown(v4(args[0], arena)?.to_ipv6_mapped(), arena))
    }),
    Function::plain(&["ipv4CIDRToRange"], 1, 1, STRINGS, |args, arena| match network(args[0])? {
        IpNet::V4(network) => Ok(list([shown(network.network(), arena), shown(network.broadcast(), arena)], arena)),
        IpNet::V6(network) => Err(Fault::new(format!("a network of IPv4 is expected, got '{network}'"))),
    }),
    Function::plain(&["ipFamily"], 1, 1, INT, |args, arena| {
        Ok(Datum::Long(if either(args[0], arena)?.addr().is_ipv4() { 4 } else { 6 }))
    }),
    Function::plain(&["ipMaskLen"], 1, 1, INT, |args, arena| {
        Ok(Datum::Long(either(args[0], arena)?.prefix_len().into()))
    }),
    Function::plain(&["ipNetmask"], 1, 1, STRING, |args, arena| Ok(shown(either(args[0], arena)?.netmask(), arena))),
    Function::plain(&["ipHostmask"], 1, 1, STRING, |args, arena| Ok(shown(either(args[0], arena)?.hostmask(), arena))),
    Function::plain(&["isPrivateIp"], 1, 1, BOOLEAN, |args, arena| {
        Ok(Datum::Bool(is_private(address(args[0], arena)?)))
    }),
];

#[cfg(test)]
mod tests {
    use crate::expression::value_text as eval;

    #[test]
    fn networks_hold_their_addresses() {
        for (text, expected) in [
            ("isSubnetOf('192.168.0.0/16', '192.168.1.77')", "true"),
            ("isSubnetOf('192.168.0.0/16', '192.169.0.0')", "false"),
            ("isSubnetOf('10.0.0.0/8', '10.1.0.0/16')", "true"),
            ("isSubnetOf('10.1.0.0/16', '10.0.0.0/8')", "false"),
            // RFC 4291: the prefix 2001:0db8::/32 is for documentation (RFC 3849).
            ("isSubnetOf('2001:db8::/32', '2001:db8:0:1::5')", "true"),
            ("isSubnetOf('2001:db8::/32', '10.0.0.1')", "false"),
            ("ipPrefix('192.168.1.77', 16)", "192.168.0.0/16"),
            ("ipPrefix('2001:db8:ffff::1', 32)", "2001:db8::/32"),
            ("ipSubnetMin('192.168.1.77/24')", "192.168.1.0"),
            ("ipSubnetMax('192.168.1.77/24')", "192.168.1.255"),
            ("ipSubnetMax('2001:db8::/112')", "2001:db8::ffff"),
            ("isIPv4String('1.2.3.256')", "false"),
            ("isIPv6String('::1')", "true"),
            ("ipv4ToLong('1.2.3.4')", "16909060"),
            ("longToIpv4(4294967295)", "255.255.255.255"),
            ("bytesToIpv6(ipv6ToBytes('2001:db8::8:800:200c:417a'))", "2001:db8::8:800:200c:417a"),
            ("ipv4ToIpv6('1.2.3.4')", "::ffff:1.2.3.4"),
            ("ipv4CIDRToRange('10.0.0.0/30')", r#"["10.0.0.0","10.0.0.3"]"#),
            ("ipFamily('::1')", "6"),
            ("ipMaskLen('10.0.0.0/30')", "30"),
            ("ipNetmask('10.0.0.0/30')", "255.255.255.252"),
            ("ipHostmask('10.0.0.0/30')", "0.0.0.3"),
            ("isPrivateIp('172.31.0.1')", "true"),
            ("isPrivateIp('172.32.0.1')", "false"),
        ] {
            assert_eq!(eval(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, reason) in [
            ("isSubnetOf('192.168.0.0', '192.168.1.77')", "a network such as 10.0.0.0/8"),
            ("ipPrefix('192.168.1.77', 33)", "0 to 32 can"),
            ("longToIpv4(-1)", "-1 is no IPv4 address"),
            ("ipPrefix('here', 8)", "ipPrefix(..): an IP address is expected, got 'here'"),
        ] {
            let fault = eval(text).expect_err(text);
            assert!(fault.contains(reason), "{text}: {fault}");
        }
    }
}
