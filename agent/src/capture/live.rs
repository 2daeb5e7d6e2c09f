//! Packets of a network interface as they pass.
//!
//! Enters: the name of an interface. Leaves: frames with the kernel's time (µs, UTC) and their length on the wire, the
//! 802.1Q tag where it was; the number of packets that the kernel dropped because nobody took them in time. pnet knows the
//! interfaces and opens the channel; the packets are taken from its socket by `capture/socket.rs`, whose head says why.
//! After opening nothing is allocated, and no privilege is needed any more, except to open an interface again that was removed and made anew.

use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pnet_datalink::{Channel, Config, NetworkInterface};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Error, Frame, socket};
use crate::packet::LinkType;

/// Pseudo-interface: all of them at once, each packet with a Linux cooked header.
pub const ANY: &str = "any";

/// Longest packet kept whole: the 64 KiB of an offloading network card, with its header.
const MAX_LIVE: usize = 66 * 1024;
/// Length of a Linux cooked header.
const COOKED: usize = 16;
/// Length of an 802.1Q tag.
const TAG: usize = 4;
/// Two Ethernet addresses.
const ADDRESSES: usize = 12;

/// How an interface is captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Also what is addressed to others.
    pub promiscuous: bool,
    /// How long [`Interface::next_packet`] waits for a packet before it gives the caller time for its clock.
    pub timeout: Duration,
    /// Room in the kernel for packets that were not taken yet, bytes. Each small packet takes about 800 of them.
    pub kernel_buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { promiscuous: true, timeout: Duration::from_millis(250), kernel_buffer: 4 * 1024 * 1024 }
    }
}

/// What the kernel counted since the capture was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Packets at the interface, those dropped included.
    pub arrived: u64,
    /// Packets for which there was no room.
    pub dropped: u64,
    /// Packets left out because loopback shows each of its packets twice.
    pub doubled: u64,
}

/// The names of the interfaces, sorted.
#[must_use]
pub fn interfaces() -> Vec<String> {
    let mut names: Vec<String> = pnet_datalink::interfaces().into_iter().map(|i| i.name).collect();
    names.sort();
    names.dedup();
    names
}

/// Addresses of this machine on the interface called `name` (on all of them for [`ANY`]), with the length of the network's
/// prefix.
#[must_use]
pub fn addresses(name: &str) -> Vec<(std::net::IpAddr, u8)> {
    pnet_datalink::interfaces()
        .into_iter()
        .filter(|i| i.name == name || name == ANY)
        .flat_map(|i| i.ips)
        .map(|network| (network.ip(), network.prefix()))
        .collect()
}

/// An open capture.
pub struct Interface {
    name: String,
    /// The kernel's number of it; a new one of the same name has another.
    index: u32,
    socket: OwnedFd,
    /// Owns the channel that pnet opened, and with it the promiscuous mode.
    _channel: Channel,
    link: LinkType,
    loopback: bool,
    options: Options,
    /// It went down, so that it may come back as another one of the same name.
    down: bool,
    buf: Box<[u8]>,
    statistics: Statistics,
}

impl Interface {
    /// Opens the interface called `name`, or all of them ([`ANY`]).
    ///
    /// # Errors
    /// There is no such interface, or no permission to capture.
    pub fn open(name: &str, options: &Options) -> Result<Self, Error> {
        Self::open_as(find(name)?, options)
    }

    fn open_as(interface: NetworkInterface, options: &Options) -> Result<Self, Error> {
        let name = interface.name.as_str();
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => Error::NotPermitted { name: name.to_owned() },
            _ => Error::Live { name: name.to_owned(), source },
        };
        let cooked = interface.index == 0;
        let (mut socket, mut channel) = open(&interface, cooked, options).map_err(fail)?;
        let mut link = LinkType::LinuxSll;
        if !cooked {
            let hardware = socket::hardware(socket.as_fd()).map_err(fail)?;
            link = link_type(hardware);
            if link == LinkType::LinuxSll {
                drop(channel);
                (socket, channel) = open(&interface, true, options).map_err(fail)?;
            }
        }
        Ok(Self {
            index: interface.index,
            loopback: interface.is_loopback(),
            name: interface.name,
            socket,
            _channel: channel,
            link,
            options: *options,
            down: false,
            buf: vec![0; MAX_LIVE].into_boxed_slice(),
            statistics: Statistics::default(),
        })
    }

    /// The next frame; `None` if there was none for the time-out, or a signal arrived.
    ///
    /// # Errors
    /// The interface went down or away, told once. When it comes back, so do its packets, also if it was made anew (a
    /// dial-up line); then opening it may fail for want of permission.
    pub fn next_packet(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let mut waited = false;
        let (at, len, received) = loop {
            // In front of the packet there is room for what has to be put back: a cooked header, a tag.
            let room = self.buf.get_mut(COOKED + TAG..).unwrap_or_default();
            match socket::receive(self.socket.as_fd(), room) {
                Ok(received) => {
                    // Loopback shows a packet when it leaves and when it arrives.
                    let outgoing = received.direction == 4;
                    if outgoing && (self.loopback || received.hardware == 772) {
                        self.statistics.doubled = self.statistics.doubled.saturating_add(1);
                        continue;
                    }
                    let (at, len) = self.restore(&received);
                    break (at, len, received);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        // What had arrived before it went down has been taken.
                        if self.down {
                            self.revive()?;
                        }
                        if waited || !self.wait()? {
                            return Ok(None);
                        }
                        waited = true;
                    }
                    io::ErrorKind::Interrupted => return Ok(None),
                    io::ErrorKind::NetworkDown => {
                        self.down = true;
                        return Err(Error::Down { name: self.name.clone() });
                    }
                    _ => return Err(Error::Live { name: self.name.clone(), source: error }),
                },
            }
        };
        let ahead = (COOKED + TAG).saturating_sub(at);
        Ok(Some(Frame {
            ts_us: received.ts_us.unwrap_or_else(now_us),
            link: self.link,
            bytes: self.buf.get(at..at + len).unwrap_or(&[]),
            wire_len: u32::try_from(received.wire_len + ahead).unwrap_or(u32::MAX),
        }))
    }

    /// Looks whether another interface has taken the name of the one that went down, and opens that.
    fn revive(&mut self) -> Result<(), Error> {
        let Ok(interface) = find(&self.name) else { return Ok(()) };
        if interface.index == self.index {
            self.down = !interface.is_up();
            return Ok(());
        }
        let before = self.statistics();
        *self = Self::open_as(interface, &self.options)?;
        self.statistics = before;
        Ok(())
    }

    /// Waits for a packet; `false` if none came.
    fn wait(&self) -> Result<bool, Error> {
        let timeout = Timespec {
            tv_sec: i64::try_from(self.options.timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: self.options.timeout.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) => Err(Error::Live { name: self.name.clone(), source: error.into() }),
        }
    }

    /// Puts back what the kernel took off: the tag, and on cooked captures the header. The answer is where the frame now
    /// begins and how long it is.
    fn restore(&mut self, received: &socket::Received) -> (usize, usize) {
        const START: usize = COOKED + TAG;
        let captured = received.captured;
        match (self.link, received.tag) {
            (LinkType::LinuxSll, None) => {
                put(&mut self.buf, TAG, cooked_header(received, received.protocol));
                (TAG, captured + COOKED)
            }
            (LinkType::LinuxSll, Some((protocol, control))) => {
                put(&mut self.buf, 0, cooked_header(received, protocol));
                put(&mut self.buf, COOKED, control.to_be_bytes());
                put(&mut self.buf, COOKED + 2, received.protocol.to_be_bytes());
                (0, captured + START)
            }
            (LinkType::Ethernet, Some((protocol, control))) if captured >= ADDRESSES => {
                self.buf.copy_within(START..START + ADDRESSES, COOKED);
                put(&mut self.buf, COOKED + ADDRESSES, protocol.to_be_bytes());
                put(&mut self.buf, COOKED + ADDRESSES + 2, control.to_be_bytes());
                (COOKED, captured + TAG)
            }
            _ => (START, captured),
        }
    }

    /// What the kernel counted so far.
    pub fn statistics(&mut self) -> Statistics {
        // The socket stays valid, so this cannot fail; if it did, the counters of the next call hold it all.
        if let Ok(new) = socket::statistics(self.socket.as_fd()) {
            self.statistics.arrived = self.statistics.arrived.saturating_add(new.arrived.into());
            self.statistics.dropped = self.statistics.dropped.saturating_add(new.dropped.into());
        }
        self.statistics
    }

    /// What the frames begin with.
    #[must_use]
    pub const fn link(&self) -> LinkType {
        self.link
    }

    /// The interface as it was named.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interface")
            .field("name", &self.name)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

fn find(name: &str) -> Result<NetworkInterface, Error> {
    if name == ANY {
        return Ok(NetworkInterface {
            name: ANY.to_owned(),
            description: String::new(),
            index: 0,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        });
    }
    pnet_datalink::interfaces()
        .into_iter()
        .find(|i| i.name == name)
        .ok_or_else(|| Error::NoInterface { name: name.to_owned(), known: interfaces() })
}

/// Opens a socket and lets pnet bind it. It is opened without a protocol, so that nothing arrives before it is bound to
/// its interface.
fn open(interface: &NetworkInterface, cooked: bool, options: &Options) -> io::Result<(OwnedFd, Channel)> {
    let kind = if cooked { SocketType::DGRAM } else { SocketType::RAW };
    let socket = rustix::net::socket_with(AddressFamily::PACKET, kind, SocketFlags::CLOEXEC, None)?;
    // Beyond the system's limit where it may, else up to it.
    if sockopt::set_socket_recv_buffer_size_force(&socket, options.kernel_buffer).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, options.kernel_buffer)?;
    }
    socket::annotate(socket.as_fd())?;
    let config = Config {
        // pnet closes this one itself.
        socket_fd: Some(socket.try_clone()?.into_raw_fd()),
        promiscuous: options.promiscuous && interface.index != 0,
        // Its own buffers are not used.
        read_buffer_size: 1,
        write_buffer_size: 1,
        ..Config::default()
    };
    let channel = pnet_datalink::channel(interface, config)?;
    Ok((socket, channel))
}

/// What frames of an interface with this `ARPHRD_…` begin with. Where the kernel's headers differ from driver to driver,
/// it is asked for a cooked one.
const fn link_type(hardware: u16) -> LinkType {
    match hardware {
        // Ethernet, loopback.
        1 | 772 => LinkType::Ethernet,
        // Tun devices and WireGuard, raw IP modems.
        65534 | 519 => LinkType::RawIp,
        801 => LinkType::Ieee80211,
        803 => LinkType::Radiotap,
        _ => LinkType::LinuxSll,
    }
}

fn cooked_header(received: &socket::Received, protocol: u16) -> [u8; COOKED] {
    let [h0, h1] = received.hardware.to_be_bytes();
    let ([a0, a1, a2, a3, a4, a5, a6, a7], used) = received.address;
    let [t0, t1] = protocol.to_be_bytes();
    [0, received.direction, h0, h1, 0, used, a0, a1, a2, a3, a4, a5, a6, a7, t0, t1]
}

fn put<const N: usize>(buf: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = buf.get_mut(at..).and_then(|b| b.first_chunk_mut::<N>()) {
        *place = bytes;
    }
}

/// Only where the kernel keeps no time for packets (before Linux 5.1).
fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
