//! What two ends say to each other → inspector. The first byte chooses transport and port, then each message has a head:
//! direction and flags, length, and how far it is displaced in its stream.
#![no_main]

use std::net::IpAddr;

use slips_agent::app::Direction::{Orig, Resp};
use slips_agent::app::{AppConfig, FlowContext, Handle, Inspector, Segment};
use slips_agent::ledger::Ledger;
use slips_agent::record::{FiveTuple, Record, Uid};

const PORTS: [u16; 12] = [80, 53, 25, 21, 23, 443, 513, 514, 67, 137, 5353, 4711];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&kind, mut rest)) = data.split_first() else { return };
    let addr = |last| IpAddr::from([10, 0, 0, last]);
    let tuple = FiveTuple {
        orig_addr: addr(1),
        orig_port: 40_000,
        resp_addr: addr(2),
        resp_port: PORTS[usize::from(kind & 0x7f) % PORTS.len()],
        proto: if kind & 0x80 == 0 { 6 } else { 17 },
    };
    let mut inspector = Inspector::new(&AppConfig { slots: 2, buffer_bytes: 64 * 1024 });
    let free = inspector.buffer_free();
    let mut ledger = Ledger::default();
    let mut handle = Handle::default();
    let mut next = [0_u64; 2];
    let mut ctx = FlowContext { uid: Uid(1), tuple, now_us: 0 };
    let mut records = 0;
    let mut sink = |record: Record<'_>| {
        if let Record::App(app) = record {
            records += 1;
            let _ = app.body.map(&mut |text| assert!(text.len() <= 512 && !text.contains(char::is_control)));
        }
    };
    while let Some((&[flags, len, place], more)) = rest.split_first_chunk::<3>() {
        let (bytes, more) = more.split_at(usize::from(len).min(more.len()));
        rest = more;
        let dir = if flags & 1 == 0 { Orig } else { Resp };
        // Mostly in order; sometimes early, late, or cut by the capture.
        let at = match flags >> 1 & 7 {
            1 => next[dir as usize].saturating_add(u64::from(place)),
            2 => next[dir as usize].saturating_sub(u64::from(place)),
            _ => next[dir as usize],
        };
        let cut = if flags & 16 == 0 { 0 } else { u32::from(place) << 4 };
        let wire_len = bytes.len() as u32 + cut;
        next[dir as usize] = next[dir as usize].max(at + u64::from(wire_len));
        ctx.now_us += if flags & 32 == 0 { 1000 } else { 3_000_000 };
        let offset = (tuple.proto == 6).then_some(at);
        let acked = if flags & 64 == 0 { 0 } else { u64::from(place) << 4 };
        inspector.segment(
            &mut handle,
            &ctx,
            dir,
            &Segment { offset, bytes, wire_len, acked },
            &mut ledger,
            &mut sink,
        );
    }
    inspector.end(&mut handle, &ctx, &mut ledger, &mut sink);
    assert_eq!(inspector.slots_used(), 0);
    assert_eq!(inspector.buffer_free(), free);
    assert_eq!(ledger.app_records, records);
});
