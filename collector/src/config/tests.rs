use super::*;

fn refused(text: &str) -> String {
    Config::parse("slips.conf", text).unwrap_err().to_string()
}

#[test]
fn every_key_is_shown_as_it_is_read() {
    let text = "[parameters]\ntime_window_width = 300\nhome_network = 192.168.1.7/16, fd00::/8\nanalysis_direction = all\n\
                [detection]\nevidence_detection_threshold = 0.08\n[modules]\ndisable = [a, 'B']\n";
    let (config, notes) = Config::parse("x", text).unwrap();
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(config.window_width_us, 300_000_000);
    assert_eq!(config.home_networks.len(), 2);
    assert_eq!(config.disabled_modules, ["a", "b"]);
    let (again, _) = Config::parse("x", &config.effective()).unwrap();
    assert_eq!(again, config);
    assert_eq!(Config::parse("x", &Config::default().effective()).unwrap().0, Config::default());
}

#[test]
fn an_error_names_file_line_and_what_was_meant() {
    assert_eq!(
        refused("# c\n[parameters]\nhome_netwrok = 10.0.0.0/8\n"),
        "slips.conf:3: unknown key home_netwrok in section [parameters], did you mean home_network?"
    );
    assert_eq!(
        refused("[parameter]\nverbose = 1\n"),
        "slips.conf:2: unknown section [parameter], did you mean [parameters]?"
    );
    assert_eq!(
        refused("[detection]\nverbose = 1\n"),
        "slips.conf:2: verbose belongs into section [parameters], not [detection]"
    );
    assert_eq!(refused("verbose = 1\n"), "slips.conf:1: verbose stands before the first [section]");
    assert_eq!(
        refused("[parameters]\nverbose = 1\nverbose = 2\n"),
        "slips.conf:3: verbose was already set in line 2"
    );
    assert_eq!(
        refused("[parameters]\nwhat is this\n"),
        "slips.conf:2: `what is this` is neither [section], nor key = value, nor a # comment"
    );
    assert_eq!(
        refused("[parameters]\ntime_window_width = 1h\n"),
        "slips.conf:2: time_window_width = 1h: expected seconds or only_one_tw"
    );
    assert_eq!(
        refused("[parameters]\nhome_network = 10.0.0.0/8, 192.168/16\n"),
        "slips.conf:2: home_network = 10.0.0.0/8, 192.168/16: expected networks like 192.168.0.0/16, fd00::/8, not 192.168/16"
    );
    for bad in ["nan", "inf", "0", "-1", "", "x"] {
        assert!(
            refused(&format!("[detection]\nevidence_detection_threshold = {bad}\n")).contains("above 0"),
            "{bad}"
        );
    }
}

#[test]
fn a_clamped_value_is_told() {
    let (config, notes) =
        Config::parse("c", "[parameters]\nlog_report_time = 0\nthreads = 99999999999999999999\n").unwrap();
    assert_eq!((config.log_report_time_s, config.shards), (1, 256));
    assert_eq!(
        notes,
        [
            "c:2: log_report_time = 0 is out of range, 1 is used",
            "c:3: threads = 99999999999999999999 is out of range, 256 is used"
        ]
    );
}

#[test]
fn the_single_window_of_slips() {
    let (config, _) = Config::parse("c", "[parameters]\ntime_window_width = 'only_one_tw'\n").unwrap();
    assert_eq!(config.window_width_us, u64::MAX);
}

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../slips.conf")
}

#[test]
fn the_shipped_file_is_the_table() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    assert!(
        text == Config::commented(),
        "slips.conf differs from the keys: cargo test -p slips conf_write -- --ignored"
    );
    let (config, notes) = Config::parse("slips.conf", &text).unwrap();
    assert_eq!((config, notes), (Config::default(), Vec::new()));
}

#[test]
#[ignore = "writes slips.conf"]
fn conf_write() {
    std::fs::write(shipped(), Config::commented()).unwrap();
}
