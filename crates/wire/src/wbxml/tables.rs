//! The token tables of the vocabularies, as their standards list them. Knows nothing but these facts.

use super::vocabulary::{PublicId, Start, Tag, Value, Values, Vocabulary};

/// Service indications (WAP-167-ServiceInd).
pub static SERVICE_INDICATION: Vocabulary = Vocabulary {
    root: "si",
    public_ids: &[PublicId { number: 0x05, name: "-//WAPFORUM//DTD SI 1.0//EN" }],
    tags: &[tag(0, 0x05, "si"), tag(0, 0x06, "indication"), tag(0, 0x07, "info"), tag(0, 0x08, "item")],
    starts: INDICATION_STARTS,
    values: DOMAINS,
    matching: Values::Parts,
    dates: &["created", "si-expires"],
};

/// Service loading (WAP-168-ServiceLoad).
pub static SERVICE_LOADING: Vocabulary = Vocabulary {
    root: "sl",
    public_ids: &[PublicId { number: 0x06, name: "-//WAPFORUM//DTD SL 1.0//EN" }],
    tags: &[tag(0, 0x05, "sl")],
    starts: LOADING_STARTS,
    values: DOMAINS,
    matching: Values::Parts,
    dates: &[],
};

/// Client provisioning (WAP-183-ProvCont, OMA-WAP-ProvCont 1.1).
pub static PROVISIONING: Vocabulary = Vocabulary {
    root: "wap-provisioningdoc",
    public_ids: &[PublicId { number: 0x0b, name: "-//WAPFORUM//DTD PROV 1.0//EN" }],
    tags: &[
        tag(0, 0x05, "wap-provisioningdoc"),
        tag(0, 0x06, "characteristic"),
        tag(0, 0x07, "parm"),
        tag(1, 0x06, "characteristic"),
        tag(1, 0x07, "parm"),
    ],
    starts: PROVISIONING_STARTS,
    values: PROVISIONING_VALUES,
    matching: Values::Whole,
    dates: &[],
};

/// Settings as Nokia and Ericsson sent them before client provisioning (OTA Settings Specification 7.0). It has no
/// registered identifier.
pub static OTA_SETTINGS: Vocabulary = Vocabulary {
    root: "CHARACTERISTIC-LIST",
    public_ids: &[PublicId { number: 0x01, name: "" }],
    tags: &[tag(0, 0x05, "CHARACTERISTIC-LIST"), tag(0, 0x06, "CHARACTERISTIC"), tag(0, 0x07, "PARM")],
    starts: OTA_STARTS,
    values: &[],
    matching: Values::Whole,
    dates: &[],
};

/// Nokia's settings for synchronisation, which older phones take to a port of their own. It has no registered identifier.
pub static NOKIA_SYNC_SETTINGS: Vocabulary = Vocabulary {
    root: "SyncSettings",
    public_ids: &[PublicId { number: 0x01, name: "" }],
    tags: &[
        tag(0, 0x05, "Addr"),
        tag(0, 0x06, "AddrType"),
        tag(0, 0x07, "Auth"),
        tag(0, 0x08, "AuthLevel"),
        tag(0, 0x09, "AuthScheme"),
        tag(0, 0x0a, "Bearer"),
        tag(0, 0x0b, "ConRef"),
        tag(0, 0x0c, "ConType"),
        tag(0, 0x0d, "Cred"),
        tag(0, 0x0e, "CTType"),
        tag(0, 0x0f, "CTVer"),
        tag(0, 0x10, "HostAddr"),
        tag(0, 0x11, "Name"),
        tag(0, 0x12, "Port"),
        tag(0, 0x13, "RefID"),
        tag(0, 0x14, "RemoteDB"),
        tag(0, 0x15, "SyncSettings"),
        tag(0, 0x16, "URI"),
        tag(0, 0x17, "Username"),
        tag(0, 0x18, "Version"),
    ],
    starts: &[],
    values: &[],
    matching: Values::Whole,
    dates: &[],
};

/// SyncML 1.0; documents of the later versions are read too.
pub static SYNCML_1_0: Vocabulary = syncml(&[SYNCML_1_0_ID, SYNCML_1_1_ID, SYNCML_1_2_ID]);

/// SyncML 1.1; documents of the other versions are read too.
pub static SYNCML_1_1: Vocabulary = syncml(&[SYNCML_1_1_ID, SYNCML_1_0_ID, SYNCML_1_2_ID]);

/// SyncML 1.2; documents of the earlier versions are read too.
pub static SYNCML_1_2: Vocabulary = syncml(&[SYNCML_1_2_ID, SYNCML_1_1_ID, SYNCML_1_0_ID]);

const SYNCML_1_0_ID: PublicId = PublicId { number: 0x0fd1, name: "-//SYNCML//DTD SyncML 1.0//EN" };
const SYNCML_1_1_ID: PublicId = PublicId { number: 0x0fd3, name: "-//SYNCML//DTD SyncML 1.1//EN" };
const SYNCML_1_2_ID: PublicId = PublicId { number: 0x1201, name: "-//SYNCML//DTD SyncML 1.2//EN" };

const fn syncml(public_ids: &'static [PublicId]) -> Vocabulary {
    Vocabulary {
        root: "SyncML",
        public_ids,
        tags: SYNCML_TAGS,
        starts: &[],
        values: &[],
        matching: Values::Whole,
        dates: &[],
    }
}

const fn tag(page: u8, code: u8, name: &'static str) -> Tag {
    Tag { page, code, name }
}

const fn start(page: u8, code: u8, name: &'static str, prefix: &'static str) -> Start {
    Start { page, code, name, prefix }
}

const fn value(page: u8, code: u8, text: &'static str) -> Value {
    Value { page, code, text }
}

/// Attributes of a service indication.
#[rustfmt::skip]
const INDICATION_STARTS: &[Start] = &[
    start(0, 0x05, "action", "signal-none"), start(0, 0x06, "action", "signal-low"),
    start(0, 0x07, "action", "signal-medium"), start(0, 0x08, "action", "signal-high"),
    start(0, 0x09, "action", "delete"), start(0, 0x0a, "created", ""), start(0, 0x0b, "href", ""),
    start(0, 0x0c, "href", "http://"), start(0, 0x0d, "href", "http://www."), start(0, 0x0e, "href", "https://"),
    start(0, 0x0f, "href", "https://www."), start(0, 0x10, "si-expires", ""), start(0, 0x11, "si-id", ""),
    start(0, 0x12, "class", ""),
];

/// Attributes of a service loading.
#[rustfmt::skip]
const LOADING_STARTS: &[Start] = &[
    start(0, 0x05, "action", "execute-low"), start(0, 0x06, "action", "execute-high"),
    start(0, 0x07, "action", "cache"), start(0, 0x08, "href", ""), start(0, 0x09, "href", "http://"),
    start(0, 0x0a, "href", "http://www."), start(0, 0x0b, "href", "https://"), start(0, 0x0c, "href", "https://www."),
];

/// Pieces of addresses, in both of them.
#[rustfmt::skip]
const DOMAINS: &[Value] = &[
    value(0, 0x85, ".com/"), value(0, 0x86, ".edu/"), value(0, 0x87, ".net/"), value(0, 0x88, ".org/"),
];

/// Attributes of a provisioning document; what the application characteristics added stands on page 1.
#[rustfmt::skip]
const PROVISIONING_STARTS: &[Start] = &[
    start(0, 0x45, "version", ""), start(0, 0x46, "version", "1.0"), start(0, 0x50, "type", ""),
    start(0, 0x51, "type", "PXLOGICAL"), start(0, 0x52, "type", "PXPHYSICAL"), start(0, 0x53, "type", "PORT"),
    start(0, 0x54, "type", "VALIDITY"), start(0, 0x55, "type", "NAPDEF"), start(0, 0x56, "type", "BOOTSTRAP"),
    start(0, 0x57, "type", "VENDORCONFIG"), start(0, 0x58, "type", "CLIENTIDENTITY"),
    start(0, 0x59, "type", "PXAUTHINFO"), start(0, 0x5a, "type", "NAPAUTHINFO"), start(0, 0x5b, "type", "ACCESS"),
    start(1, 0x50, "type", ""), start(1, 0x53, "type", "PORT"), start(1, 0x55, "type", "APPLICATION"),
    start(1, 0x56, "type", "APPADDR"), start(1, 0x57, "type", "APPAUTH"), start(1, 0x58, "type", "CLIENTIDENTITY"),
    start(1, 0x59, "type", "RESOURCE"), start(0, 0x05, "name", ""), start(0, 0x06, "value", ""),
    start(0, 0x07, "name", "NAME"), start(0, 0x08, "name", "NAP-ADDRESS"), start(0, 0x09, "name", "NAP-ADDRTYPE"),
    start(0, 0x0a, "name", "CALLTYPE"), start(0, 0x0b, "name", "VALIDUNTIL"), start(0, 0x0c, "name", "AUTHTYPE"),
    start(0, 0x0d, "name", "AUTHNAME"), start(0, 0x0e, "name", "AUTHSECRET"), start(0, 0x0f, "name", "LINGER"),
    start(0, 0x10, "name", "BEARER"), start(0, 0x11, "name", "NAPID"), start(0, 0x12, "name", "COUNTRY"),
    start(0, 0x13, "name", "NETWORK"), start(0, 0x14, "name", "INTERNET"), start(0, 0x15, "name", "PROXY-ID"),
    start(0, 0x16, "name", "PROXY-PROVIDER-ID"), start(0, 0x17, "name", "DOMAIN"), start(0, 0x18, "name", "PROVURL"),
    start(0, 0x19, "name", "PXAUTH-TYPE"), start(0, 0x1a, "name", "PXAUTH-ID"), start(0, 0x1b, "name", "PXAUTH-PW"),
    start(0, 0x1c, "name", "STARTPAGE"), start(0, 0x1d, "name", "BASAUTH-ID"), start(0, 0x1e, "name", "BASAUTH-PW"),
    start(0, 0x1f, "name", "PUSHENABLED"), start(0, 0x20, "name", "PXADDR"), start(0, 0x21, "name", "PXADDRTYPE"),
    start(0, 0x22, "name", "TO-NAPID"), start(0, 0x23, "name", "PORTNBR"), start(0, 0x24, "name", "SERVICE"),
    start(0, 0x25, "name", "LINKSPEED"), start(0, 0x26, "name", "DNLINKSPEED"), start(0, 0x27, "name", "LOCAL-ADDR"),
    start(0, 0x28, "name", "LOCAL-ADDRTYPE"), start(0, 0x29, "name", "CONTEXT-ALLOW"),
    start(0, 0x2a, "name", "TRUST"), start(0, 0x2b, "name", "MASTER"), start(0, 0x2c, "name", "SID"),
    start(0, 0x2d, "name", "SOC"), start(0, 0x2e, "name", "WSP-VERSION"), start(0, 0x2f, "name", "PHYSICAL-PROXY-ID"),
    start(0, 0x30, "name", "CLIENT-ID"), start(0, 0x31, "name", "DELIVERY-ERR-SDU"),
    start(0, 0x32, "name", "DELIVERY-ORDER"), start(0, 0x33, "name", "TRAFFIC-CLASS"),
    start(0, 0x34, "name", "MAX-SDU-SIZE"), start(0, 0x35, "name", "MAX-BITRATE-UPLINK"),
    start(0, 0x36, "name", "MAX-BITRATE-DNLINK"), start(0, 0x37, "name", "RESIDUAL-BER"),
    start(0, 0x38, "name", "SDU-ERROR-RATIO"), start(0, 0x39, "name", "TRAFFIC-HANDL-PRIO"),
    start(0, 0x3a, "name", "TRANSFER-DELAY"), start(0, 0x3b, "name", "GUARANTEED-BITRATE-UPLINK"),
    start(0, 0x3c, "name", "GUARANTEED-BITRATE-DNLINK"), start(0, 0x3d, "name", "PXADDR-FQDN"),
    start(0, 0x3e, "name", "PROXY-PW"), start(0, 0x3f, "name", "PPGAUTH-TYPE"), start(0, 0x47, "name", "PULLENABLED"),
    start(0, 0x48, "name", "DNS-ADDR"), start(0, 0x49, "name", "MAX-NUM-RETRY"),
    start(0, 0x4a, "name", "FIRST-RETRY-TIMEOUT"), start(0, 0x4b, "name", "REREG-THRESHOLD"),
    start(0, 0x4c, "name", "T-BIT"), start(0, 0x4e, "name", "AUTH-ENTITY"), start(0, 0x4f, "name", "SPI"),
    start(1, 0x05, "name", ""), start(1, 0x06, "value", ""), start(1, 0x07, "name", "NAME"),
    start(1, 0x14, "name", "INTERNET"), start(1, 0x1c, "name", "STARTPAGE"), start(1, 0x22, "name", "TO-NAPID"),
    start(1, 0x23, "name", "PORTNBR"), start(1, 0x24, "name", "SERVICE"), start(1, 0x2e, "name", "AACCEPT"),
    start(1, 0x2f, "name", "AAUTHDATA"), start(1, 0x30, "name", "AAUTHLEVEL"), start(1, 0x31, "name", "AAUTHNAME"),
    start(1, 0x32, "name", "AAUTHSECRET"), start(1, 0x33, "name", "AAUTHTYPE"), start(1, 0x34, "name", "ADDR"),
    start(1, 0x35, "name", "ADDRTYPE"), start(1, 0x36, "name", "APPID"), start(1, 0x37, "name", "APROTOCOL"),
    start(1, 0x38, "name", "PROVIDER-ID"), start(1, 0x39, "name", "TO-PROXY"), start(1, 0x3a, "name", "URI"),
    start(1, 0x3b, "name", "RULE"),
];

/// Values of a provisioning document.
#[rustfmt::skip]
const PROVISIONING_VALUES: &[Value] = &[
    value(0, 0x85, "IPV4"), value(0, 0x86, "IPV6"), value(0, 0x87, "E164"), value(0, 0x88, "ALPHA"),
    value(0, 0x89, "APN"), value(0, 0x8a, "SCODE"), value(0, 0x8b, "TETRA-ITSI"), value(0, 0x8c, "MAN"),
    value(1, 0x86, "IPV6"), value(1, 0x87, "E164"), value(1, 0x88, "ALPHA"), value(1, 0x8d, "APPSRV"),
    value(1, 0x8e, "OBEX"), value(0, 0x90, "ANALOG-MODEM"), value(0, 0x91, "V.120"), value(0, 0x92, "V.110"),
    value(0, 0x93, "X.31"), value(0, 0x94, "BIT-TRANSPARENT"), value(0, 0x95, "DIRECT-ASYNCHRONOUS-DATA-SERVICE"),
    value(1, 0x90, ","), value(1, 0x91, "HTTP-"), value(1, 0x92, "BASIC"), value(1, 0x93, "DIGEST"),
    value(0, 0x9a, "PAP"), value(0, 0x9b, "CHAP"), value(0, 0x9c, "HTTP-BASIC"), value(0, 0x9d, "HTTP-DIGEST"),
    value(0, 0x9e, "WTLS-SS"), value(0, 0x9f, "MD5"), value(0, 0xa2, "GSM-USSD"), value(0, 0xa3, "GSM-SMS"),
    value(0, 0xa4, "ANSI-136-GUTS"), value(0, 0xa5, "IS-95-CDMA-SMS"), value(0, 0xa6, "IS-95-CDMA-CSD"),
    value(0, 0xa7, "IS-95-CDMA-PACKET"), value(0, 0xa8, "ANSI-136-CSD"), value(0, 0xa9, "ANSI-136-GPRS"),
    value(0, 0xaa, "GSM-CSD"), value(0, 0xab, "GSM-GPRS"), value(0, 0xac, "AMPS-CDPD"), value(0, 0xad, "PDC-CSD"),
    value(0, 0xae, "PDC-PACKET"), value(0, 0xaf, "IDEN-SMS"), value(0, 0xb0, "IDEN-CSD"),
    value(0, 0xb1, "IDEN-PACKET"), value(0, 0xb2, "FLEX/REFLEX"), value(0, 0xb3, "PHS-SMS"),
    value(0, 0xb4, "PHS-CSD"), value(0, 0xb5, "TETRA-SDS"), value(0, 0xb6, "TETRA-PACKET"),
    value(0, 0xb7, "ANSI-136-GHOST"), value(0, 0xb8, "MOBITEX-MPAK"), value(0, 0xb9, "CDMA2000-1X-SIMPLE-IP"),
    value(0, 0xba, "CDMA2000-1X-MOBILE-IP"), value(0, 0xc5, "AUTOBAUDING"), value(0, 0xca, "CL-WSP"),
    value(0, 0xcb, "CO-WSP"), value(0, 0xcc, "CL-SEC-WSP"), value(0, 0xcd, "CO-SEC-WSP"),
    value(0, 0xce, "CL-SEC-WTA"), value(0, 0xcf, "CO-SEC-WTA"), value(0, 0xd0, "OTA-HTTP-TO"),
    value(0, 0xd1, "OTA-HTTP-TLS-TO"), value(0, 0xd2, "OTA-HTTP-PO"), value(0, 0xd3, "OTA-HTTP-TLS-PO"),
    value(0, 0xe0, "AAA"), value(0, 0xe1, "HA"),
];

/// Attributes of Nokia's and Ericsson's settings; some begin a value and end it too.
#[rustfmt::skip]
const OTA_STARTS: &[Start] = &[
    start(0, 0x06, "TYPE", "ADDRESS"), start(0, 0x07, "TYPE", "URL"), start(0, 0x08, "TYPE", "NAME"),
    start(0, 0x7c, "TYPE", "MMSURL"), start(0, 0x7d, "TYPE", "ID"), start(0, 0x7f, "TYPE", "BOOKMARK"),
    start(0, 0x10, "NAME", ""), start(0, 0x11, "VALUE", ""), start(0, 0x12, "NAME", "BEARER"),
    start(0, 0x13, "NAME", "PROXY"), start(0, 0x14, "NAME", "PORT"), start(0, 0x15, "NAME", "NAME"),
    start(0, 0x16, "NAME", "PROXY_TYPE"), start(0, 0x17, "NAME", "URL"), start(0, 0x18, "NAME", "PROXY_AUTHNAME"),
    start(0, 0x19, "NAME", "PROXY_AUTHSECRET"), start(0, 0x1a, "NAME", "SMS_SMSC_ADDRESS"),
    start(0, 0x1b, "NAME", "USSD_SERVICE_CODE"), start(0, 0x1c, "NAME", "GPRS_ACCESSPOINTNAME"),
    start(0, 0x1d, "NAME", "PPP_LOGINTYPE"), start(0, 0x1e, "NAME", "PROXY_LOGINTYPE"),
    start(0, 0x21, "NAME", "CSD_DIALSTRING"), start(0, 0x22, "NAME", "PPP_AUTHTYPE"),
    start(0, 0x23, "NAME", "PPP_AUTHNAME"), start(0, 0x24, "NAME", "PPP_AUTHSECRET"),
    start(0, 0x28, "NAME", "CSD_CALLTYPE"), start(0, 0x29, "NAME", "CSD_CALLSPEED"),
    start(0, 0x7e, "NAME", "ISP_NAME"), start(0, 0x45, "VALUE", "GSM/CSD"), start(0, 0x46, "VALUE", "GSM/SMS"),
    start(0, 0x47, "VALUE", "GSM/USSD"), start(0, 0x48, "VALUE", "IS-136/CSD"), start(0, 0x49, "VALUE", "GPRS"),
    start(0, 0x60, "VALUE", "9200"), start(0, 0x61, "VALUE", "9201"), start(0, 0x62, "VALUE", "9202"),
    start(0, 0x63, "VALUE", "9203"), start(0, 0x64, "VALUE", "AUTOMATIC"), start(0, 0x65, "VALUE", "MANUAL"),
    start(0, 0x6a, "VALUE", "AUTO"), start(0, 0x6b, "VALUE", "9600"), start(0, 0x6c, "VALUE", "14400"),
    start(0, 0x6d, "VALUE", "19200"), start(0, 0x6e, "VALUE", "28800"), start(0, 0x6f, "VALUE", "38400"),
    start(0, 0x70, "VALUE", "PAP"), start(0, 0x71, "VALUE", "CHAP"), start(0, 0x72, "VALUE", "ANALOGUE"),
    start(0, 0x73, "VALUE", "ISDN"), start(0, 0x74, "VALUE", "43200"), start(0, 0x75, "VALUE", "57600"),
    start(0, 0x76, "VALUE", "MSISDN_NO"), start(0, 0x77, "VALUE", "IPV4"), start(0, 0x78, "VALUE", "MS_CHAP"),
];

/// SyncML on page 0, its meta information on page 1 (OMA-TS-SyncML-RepPro 1.2).
#[rustfmt::skip]
const SYNCML_TAGS: &[Tag] = &[
    tag(0, 0x05, "Add"), tag(0, 0x06, "Alert"), tag(0, 0x07, "Archive"), tag(0, 0x08, "Atomic"), tag(0, 0x09, "Chal"),
    tag(0, 0x0a, "Cmd"), tag(0, 0x0b, "CmdID"), tag(0, 0x0c, "CmdRef"), tag(0, 0x0d, "Copy"), tag(0, 0x0e, "Cred"),
    tag(0, 0x0f, "Data"), tag(0, 0x10, "Delete"), tag(0, 0x11, "Exec"), tag(0, 0x12, "Final"), tag(0, 0x13, "Get"),
    tag(0, 0x14, "Item"), tag(0, 0x15, "Lang"), tag(0, 0x16, "LocName"), tag(0, 0x17, "LocURI"), tag(0, 0x18, "Map"),
    tag(0, 0x19, "MapItem"), tag(0, 0x1a, "Meta"), tag(0, 0x1b, "MsgID"), tag(0, 0x1c, "MsgRef"),
    tag(0, 0x1d, "NoResp"), tag(0, 0x1e, "NoResults"), tag(0, 0x1f, "Put"), tag(0, 0x20, "Replace"),
    tag(0, 0x21, "RespURI"), tag(0, 0x22, "Results"), tag(0, 0x23, "Search"), tag(0, 0x24, "Sequence"),
    tag(0, 0x25, "SessionID"), tag(0, 0x26, "SftDel"), tag(0, 0x27, "Source"), tag(0, 0x28, "SourceRef"),
    tag(0, 0x29, "Status"), tag(0, 0x2a, "Sync"), tag(0, 0x2b, "SyncBody"), tag(0, 0x2c, "SyncHdr"),
    tag(0, 0x2d, "SyncML"), tag(0, 0x2e, "Target"), tag(0, 0x2f, "TargetRef"), tag(0, 0x31, "VerDTD"),
    tag(0, 0x32, "VerProto"), tag(0, 0x33, "NumberOfChanges"), tag(0, 0x34, "MoreData"), tag(0, 0x35, "Field"),
    tag(0, 0x36, "Filter"), tag(0, 0x37, "Record"), tag(0, 0x38, "FilterType"), tag(0, 0x39, "SourceParent"),
    tag(0, 0x3a, "TargetParent"), tag(0, 0x3b, "Move"), tag(0, 0x3c, "Correlator"), tag(1, 0x05, "Anchor"),
    tag(1, 0x06, "EMI"), tag(1, 0x07, "Format"), tag(1, 0x08, "FreeID"), tag(1, 0x09, "FreeMem"),
    tag(1, 0x0a, "Last"), tag(1, 0x0b, "Mark"), tag(1, 0x0c, "MaxMsgSize"), tag(1, 0x0d, "Mem"),
    tag(1, 0x0e, "MetInf"), tag(1, 0x0f, "Next"), tag(1, 0x10, "NextNonce"), tag(1, 0x11, "SharedMem"),
    tag(1, 0x12, "Size"), tag(1, 0x13, "Type"), tag(1, 0x14, "Version"), tag(1, 0x15, "MaxObjSize"),
    tag(1, 0x16, "FieldLevel"),
];
