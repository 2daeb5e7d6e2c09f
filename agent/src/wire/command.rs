//! What an operator or the collector asks of a sensor.

use core::net::IpAddr;

use super::codec::Writer;
use super::head::{Detail, read_names, write_names};
use super::topic::is_name;
use super::{Error, Kind, MAX_OTHER, MAX_TIME_US, Malformed, Unfit, VERSION, open};

/// Longest configuration text in a command, bytes.
pub const MAX_CONFIG: usize = 4096;

/// One command. The sensor carries out each `id` once and answers in its status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command<'a> {
    /// Name of the site.
    pub site: &'a str,
    /// Name of the sensor.
    pub sensor: &'a str,
    /// Identity of the command: drawn at random by who asks.
    pub id: u64,
    /// UTC after which it is not carried out any more, µs.
    pub expires_us: u64,
    /// What to do.
    pub order: Order<'a>,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order<'a> {
    /// Drop traffic of an address, both ways, for so many seconds.
    Block {
        /// Whom.
        addr: IpAddr,
        /// How long, s.
        seconds: u32,
    },
    /// Stop dropping.
    Unblock {
        /// Whom.
        addr: IpAddr,
    },
    /// What to send from now on.
    Detail(Detail),
    /// Configuration: the text of a configuration file, keys that it lacks stay as they are.
    Configure(&'a str),
}

impl<'a> Command<'a> {
    /// Writes the message into `buf`, which needs at most [`MAX_OTHER`] bytes.
    ///
    /// # Errors
    /// A name is none, a text or time is over its limit, or `buf` is too small.
    pub fn write<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], Unfit> {
        if !is_name(self.site) || !is_name(self.sensor) || self.expires_us > MAX_TIME_US {
            return Err(Unfit);
        }
        let mut w = Writer::new(buf, 0);
        w.put(&(VERSION, Kind::Command as u8))?;
        write_names(&mut w, self.site, self.sensor)?;
        w.put(&(self.id.to_be_bytes(), self.expires_us))?;
        match self.order {
            Order::Block { addr, seconds } => w.put(&(1u8, addr, seconds))?,
            Order::Unblock { addr } => w.put(&(2u8, addr))?,
            Order::Detail(detail) => {
                w.put(&3u8)?;
                detail.write(&mut w)?;
            }
            Order::Configure(text) if text.len() <= MAX_CONFIG => w.put(&(4u8, text))?,
            Order::Configure(_) => return Err(Unfit),
        }
        let len = w.at();
        buf.get(..len).ok_or(Unfit)
    }

    /// Reads the message.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = open(bytes, Kind::Command, MAX_OTHER)?;
        let (site, sensor) = read_names(&mut r)?;
        let (id, expires_us) = r.take::<([u8; 8], u64)>()?;
        if expires_us > MAX_TIME_US {
            return Err(Malformed::Time.into());
        }
        let order = match r.take::<u8>()? {
            1 => {
                let (addr, seconds) = r.take()?;
                Order::Block { addr, seconds }
            }
            2 => Order::Unblock { addr: r.take()? },
            3 => Order::Detail(Detail::read(&mut r)?),
            4 => Order::Configure(r.text(MAX_CONFIG)?),
            _ => return Err(Malformed::Code.into()),
        };
        r.end()?;
        Ok(Self { site, sensor, id: u64::from_be_bytes(id), expires_us, order })
    }
}
