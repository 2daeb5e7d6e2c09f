//! Whether what a program says of its system can be true on a device of that maker.

use slips_agent::app::record::Http;

use super::super::{Context, Kind, Needs};
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::profile::vendor::vendor;

pub const INCOMPATIBLE_USER_AGENT: Kind = Kind {
    name: "incompatible_user_agent",
    needs: &[Needs::Http, Needs::Mac],
    rule: "By its hardware address the device is made by Apple, Microsoft or Google, and the user agent names another one's system; or the agent is \
           Safari, and the device is of a maker whose devices have another system (Samsung, Huawei, Xiaomi, OPPO, vivo, OnePlus, Motorola, Sony, LG, \
           HTC, Google, Microsoft, Amazon, Raspberry Pi, Espressif). Not for the gateway's address, nor for addresses that devices make up.",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: "Slips 1.1.21, http analyzer, where any maker but Apple is incompatible with Safari: adapters for a MacBook's network cable are made by others",
    proof: "collector/src/modules/http/tests.rs",
};

/// Systems by who makes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Maker {
    Apple,
    Microsoft,
    Google,
}

impl Maker {
    /// The maker of a system that an agent (lower case) names.
    fn of_agent(agent: &str) -> Option<Self> {
        const SYSTEMS: [(&str, Maker); 10] = [
            // What Android and Windows phones say of others comes after their own name.
            ("android", Maker::Google),
            ("cros ", Maker::Google),
            ("windows nt", Maker::Microsoft),
            ("windows phone", Maker::Microsoft),
            ("iphone", Maker::Apple),
            ("ipad", Maker::Apple),
            ("macintosh", Maker::Apple),
            ("mac os x", Maker::Apple),
            ("macos", Maker::Apple),
            ("darwin/", Maker::Apple),
        ];
        SYSTEMS.into_iter().find(|(name, _)| agent.contains(name)).map(|(_, maker)| maker)
    }

    fn of_device(vendor: &str) -> Option<Self> {
        match vendor.split([' ', ',']).next()?.to_ascii_lowercase().as_str() {
            "apple" => Some(Self::Apple),
            "microsoft" => Some(Self::Microsoft),
            "google" => Some(Self::Google),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Apple => "Apple",
            Self::Microsoft => "Microsoft",
            Self::Google => "Google",
        }
    }
}

/// Apple's browser: others name it too, with their own name beside.
fn is_safari(agent: &str) -> bool {
    const OTHERS: [&str; 8] = ["chrome", "chromium", "crios", "edg", "opr/", "firefox", "fxios", "android"];
    agent.contains("safari/")
        && agent.contains("version/")
        && Maker::of_agent(agent) == Some(Maker::Apple)
        && !OTHERS.iter().any(|other| agent.contains(other))
}

/// Makers of whole devices that do not run Apple's systems.
fn has_other_system(vendor: &str) -> bool {
    const MAKERS: [&str; 15] = [
        "samsung",
        "huawei",
        "xiaomi",
        "guangdong oppo",
        "vivo",
        "oneplus",
        "motorola mobility",
        "sony",
        "lg electronics",
        "htc",
        "google",
        "microsoft",
        "amazon",
        "raspberry pi",
        "espressif",
    ];
    let vendor = vendor.to_ascii_lowercase();
    MAKERS.iter().any(|maker| vendor.starts_with(maker))
}

/// One request; `agent` is its user agent in lower case.
pub fn judge(http: &Http<Text>, agent: &str, ctx: &mut Context<'_>) {
    let own = ctx.profile.addr;
    let Some(mac) = ctx.site.host(own).and_then(|host| host.mac) else { return };
    if ctx.site.gateway_mac() == Some(mac) {
        return;
    }
    let Some(vendor) = vendor(mac) else { return };
    let says = if is_safari(agent) && has_other_system(vendor) {
        "Safari, which runs on devices of Apple only".to_owned()
    } else {
        match (Maker::of_agent(agent), Maker::of_device(vendor)) {
            (Some(system), Some(device)) if system != device => format!("a system of {}", system.name()),
            _ => return,
        }
    };
    let description = format!(
        "{own} is a device made by {vendor}, and a program on it says that it is {says} ({})",
        http.user_agent
    );
    ctx.raise(ctx.finding(&INCOMPATIBLE_USER_AGENT, agent, description));
}
