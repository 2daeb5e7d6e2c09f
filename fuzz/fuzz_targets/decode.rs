//! Frame bytes → view → inside of tunnels → datagrams put together from fragments. The first two bytes choose the link
//! type and how much longer the frame was on the wire.
#![no_main]

#[path = "../../tests/support/path.rs"]
mod path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((&[link, extra], frame)) = data.split_first_chunk::<2>() {
        let mut path = path::Path::new();
        path.frame(path::link(link), frame, frame.len() as u32 + u32::from(extra));
        path.end();
    }
});
