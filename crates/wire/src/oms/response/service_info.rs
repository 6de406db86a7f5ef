//! The `serviceInfo` document: what the service is and which limits it has. Knows the schema's order; must not know whose
//! limits they are.

use super::{Declaration, push_attribute, push_element, push_root};
use crate::oms::check::{MmsLimits, SmsLimits};
use crate::oms::{NAMESPACE, NAMESPACE_SERVICE_INFO};

/// The namespace of the document. The vendor's examples and its published schema disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceInfoNamespace {
    /// As the examples and other services have it.
    #[default]
    ServiceInfo,
    /// As the published schema has it.
    Oms,
}

/// What `GetServiceInfo` tells. Nothing in it is secret.
#[derive(Clone, Copy, Debug)]
pub struct ServiceInfo<'a> {
    /// The company, as the account dialog shows it.
    pub provider: &'a str,
    /// The identity of the service: if it changes, clients see another service.
    pub service_uri: &'a str,
    pub sign_up_page: &'a str,
    /// A Windows locale id; 0 is worldwide.
    pub target_locale: u16,
    pub local_name: &'a str,
    pub english_name: &'a str,
    /// `None`: SMS is not offered.
    pub sms: Option<&'a SmsLimits>,
    /// `None`: MMS is not offered.
    pub mms: Option<&'a MmsLimits>,
    pub namespace: ServiceInfoNamespace,
}

impl ServiceInfo<'_> {
    /// Writes the document.
    #[must_use]
    pub fn document(&self, declaration: Declaration) -> String {
        let mut out = declaration.document();
        push_root(
            &mut out,
            "serviceInfo",
            match self.namespace {
                ServiceInfoNamespace::ServiceInfo => NAMESPACE_SERVICE_INFO,
                ServiceInfoNamespace::Oms => NAMESPACE,
            },
        );
        let target_locale = self.target_locale.to_string();
        for (name, value) in [
            ("serviceProvider", self.provider),
            ("serviceUri", self.service_uri),
            ("signUpPage", self.sign_up_page),
            ("targetLocale", &target_locale),
            ("localName", self.local_name),
            ("englishName", self.english_name),
            ("authenticationType", "Other"),
        ] {
            push_element(&mut out, name, value);
        }
        out.push_str("<supportedService>");
        self.push_services(&mut out);
        out.push_str("</supportedService></serviceInfo>");
        out
    }

    fn push_services(&self, out: &mut String) {
        if let Some(sms) = self.sms {
            push_service(
                out,
                "SMS_SENDER",
                [
                    ("maxRecipientsPerMessage", sms.recipients_max.to_string()),
                    ("maxMessagesPerSend", sms.parts_max.to_string()),
                    ("maxSbcsPerMessage", sms.sbcs_max.to_string()),
                    ("maxDbcsPerMessage", sms.dbcs_max.to_string()),
                ],
            );
        }
        if let Some(mms) = self.mms {
            push_service(
                out,
                "MMS_SENDER",
                [
                    ("supportSlide", mms.supports_slides.to_string()),
                    ("maxRecipientsPerMessage", mms.recipients_max.to_string()),
                    ("maxSizePerMessage", mms.size_bytes_max.to_string()),
                    ("maxSlidesPerMessage", mms.slides_max.to_string()),
                ],
            );
        }
    }
}

fn push_service(out: &mut String, name: &str, limits: [(&str, String); 4]) {
    out.push('<');
    out.push_str(name);
    for (name, value) in limits {
        push_attribute(out, name, &value);
    }
    out.push_str("/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_offers_only_sms() {
        let info = ServiceInfo {
            provider: "Example & Sons",
            service_uri: "https://oms.example.invalid/oms/service.asmx",
            sign_up_page: "https://oms.example.invalid/signup",
            target_locale: 0,
            local_name: "Example SMS",
            english_name: "Example SMS",
            sms: Some(&SmsLimits::default()),
            mms: None,
            namespace: ServiceInfoNamespace::default(),
        };
        assert_eq!(
            info.document(Declaration::None),
            "<serviceInfo xmlns=\"http://schemas.microsoft.com/office/Outlook/2006/OMS/serviceInfo\"><serviceProvider>Example \
             &amp; Sons</serviceProvider><serviceUri>https://oms.example.invalid/oms/service.asmx</serviceUri><signUpPage>\
             https://oms.example.invalid/signup</signUpPage><targetLocale>0</targetLocale><localName>Example SMS</localName>\
             <englishName>Example SMS</englishName><authenticationType>Other</authenticationType><supportedService><SMS_SENDER \
             maxRecipientsPerMessage=\"50\" maxMessagesPerSend=\"20\" maxSbcsPerMessage=\"160\" maxDbcsPerMessage=\"70\"/>\
             </supportedService></serviceInfo>"
        );
    }
}
