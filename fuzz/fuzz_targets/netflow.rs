//! NetFlow and IPFIX datagrams of two exporters → flows. A datagram is two bytes of length and its bytes; the highest bit of
//! the length says which exporter sent it.
#![no_main]

#[path = "../reading.rs"]
mod reading;

use slips::input::netflow::Machine;
use slips::input::tally::Tally;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(mut machine) = Machine::new() else { return };
    let mut tally = Tally::new(None);
    let mut rest = data;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = u16::from_be_bytes(*len);
        let from = ([192, 0, 2, (len >> 15) as u8], 2055).into();
        let (datagram, after) = after.split_at(usize::from(len & 0x7fff).min(after.len()));
        machine.datagram(from, datagram, &mut tally, &mut reading::Taken);
        rest = after;
    }
    machine.pass(60_000_000, &mut tally, &mut reading::Taken);
    machine.finish(&mut tally, &mut reading::Taken);
});
