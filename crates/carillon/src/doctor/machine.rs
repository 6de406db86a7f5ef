//! What the doctor sees of this machine: certificates and free disk. Knows files, asks no engine.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::config::Config;
use crate::demo;

/// A certificate that ends sooner is worth a word.
const DAYS_LEFT_MIN: i64 = 21;
/// A disk with less of it free is worth a word, and with less than a third of that it is worth more.
const FREE_PERCENT_MIN: u64 = 15;
const DAY_SECONDS: i64 = 86_400;

/// The certificates that the settings name, and those this directory has.
pub(crate) fn files(config: &Config, data: &Path) -> Vec<PathBuf> {
    let (gateway, control) = (&config.gateway, &config.sms_router.control);
    let mut files = vec![
        gateway.tls_certificate_file.clone(),
        control.certificate_file.clone(),
        control.farm_ca_file.clone(),
        config.lanes.certificate_file.clone(),
        config.lanes.ca_file.clone(),
        config.state.certificate_file.clone(),
        config.state.ca_file.clone(),
    ];
    files.extend(gateway.tls_others.iter().map(|files| files.certificate.clone()));
    files.retain(|file| !file.as_os_str().is_empty());
    let own = ["pki/ca.pem", "pki/router.pem"].map(|name| data.join(name));
    files.extend(own.into_iter().filter(|file| file.exists()));
    files
}

/// Which certificates can't be read, or end soon.
pub(super) fn certificates(config: &Config, data: &Path) -> Vec<Finding> {
    let files = files(config, data);
    let mut findings: Vec<Finding> = files.iter().filter_map(|file| certificate(file)).collect();
    if findings.is_empty() && !files.is_empty() {
        findings.push(Finding::good("certificates", format!("{} can be read and hold for weeks", files.len())));
    }
    findings
}

fn certificate(file: &Path) -> Option<Finding> {
    let path = file.display();
    let Some(ends) = runtime::expiry::ends_at(file) else {
        let mend = "correct the setting, or put a certificate in PEM there";
        return Some(Finding::bad("certificates", format!("there is no certificate in `{path}`"), mend));
    };
    let days = (ends - demo::now().0 / 1_000).div_euclid(DAY_SECONDS);
    let mend = "issue another under the same authority and put it in its place; servers follow the file";
    match days {
        ..0 => Some(Finding::bad("certificates", format!("the certificate in `{path}` has ended"), mend)),
        0..DAYS_LEFT_MIN => {
            Some(Finding::warning("certificates", format!("the certificate in `{path}` ends in {days} days"), mend))
        }
        _ => None,
    }
}

/// How much is free where the data directory is.
pub(super) fn disk(data: &Path) -> Option<Finding> {
    let about = rustix::fs::statvfs(data).ok()?;
    let free = (about.f_bavail.saturating_mul(100)).checked_div(about.f_blocks)?;
    let mebibytes = about.f_bavail.saturating_mul(about.f_frsize) >> 20;
    let found = format!("{free} % are free ({mebibytes} MiB) where `{}` is", data.display());
    let mend = "make room, or enlarge the volume: a full disk refuses what is sent";
    Some(match free {
        0..5 => Finding::bad("disk", found, mend),
        5..FREE_PERCENT_MIN => Finding::warning("disk", found, mend),
        _ => Finding::good("disk", found),
    })
}
