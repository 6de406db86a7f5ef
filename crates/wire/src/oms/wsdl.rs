//! The service's description. Knows the interface; must not know which requests are accepted beside it (the RPC form is).
//!
//! It is document/literal, on purpose: the vendor's own RPC/encoded description cannot be read by any current toolkit.

use super::NAMESPACE;
use super::escape::{Place, push_escaped};
use super::soap::Method;
use std::fmt::Write as _;

/// What stands between `definitions` and the messages.
const OPENING: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n",
    "<wsdl:definitions name=\"OMSService\" xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\"",
    " xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\" xmlns:soap12=\"http://schemas.xmlsoap.org/wsdl/soap12/\"",
    " xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"",
);

/// Writes the description of the service at `service_uri`: service `OMSService`, ports `OMSServiceSoap` (SOAP 1.1) and
/// `OMSServiceSoap12`, five operations of one string argument and one string result.
#[must_use]
pub fn document(service_uri: &str) -> String {
    let mut address = String::with_capacity(service_uri.len());
    push_escaped(&mut address, service_uri, Place::Attribute);
    let types: String = Method::ALL.map(types).concat();
    let messages: String = Method::ALL.map(messages).concat();
    let operations: String = Method::ALL.map(operation).concat();
    format!(
        "{OPENING} xmlns:tns=\"{NAMESPACE}\" targetNamespace=\"{NAMESPACE}\">\n\
         <wsdl:types><xs:schema elementFormDefault=\"qualified\" targetNamespace=\"{NAMESPACE}\">\n{types}</xs:schema></wsdl:types>\n\
         {messages}<wsdl:portType name=\"OMSServiceSoap\">\n{operations}</wsdl:portType>\n{}{}\
         <wsdl:service name=\"OMSService\">\n\
         <wsdl:port name=\"OMSServiceSoap\" binding=\"tns:OMSServiceSoap\"><soap:address location=\"{address}\"/></wsdl:port>\n\
         <wsdl:port name=\"OMSServiceSoap12\" binding=\"tns:OMSServiceSoap12\"><soap12:address location=\"{address}\"/></wsdl:port>\n\
         </wsdl:service>\n</wsdl:definitions>\n",
        binding("OMSServiceSoap", "soap"),
        binding("OMSServiceSoap12", "soap12"),
    )
}

fn types(method: Method) -> String {
    let name = method.name();
    let argument = method.parameter().map(string_element).unwrap_or_default();
    let result = string_element(&format!("{name}Result"));
    format!(
        "<xs:element name=\"{name}\"><xs:complexType><xs:sequence>{argument}</xs:sequence></xs:complexType></xs:element>\n\
         <xs:element name=\"{name}Response\"><xs:complexType><xs:sequence>{result}</xs:sequence></xs:complexType></xs:element>\n"
    )
}

fn string_element(name: &str) -> String {
    format!("<xs:element name=\"{name}\" type=\"xs:string\" minOccurs=\"0\"/>")
}

fn messages(method: Method) -> String {
    let name = method.name();
    format!(
        "<wsdl:message name=\"{name}SoapIn\"><wsdl:part name=\"parameters\" element=\"tns:{name}\"/></wsdl:message>\n\
         <wsdl:message name=\"{name}SoapOut\"><wsdl:part name=\"parameters\" element=\"tns:{name}Response\"/></wsdl:message>\n"
    )
}

fn operation(method: Method) -> String {
    let name = method.name();
    format!(
        "<wsdl:operation name=\"{name}\"><wsdl:documentation>{}</wsdl:documentation><wsdl:input message=\"tns:{name}SoapIn\"/>\
         <wsdl:output message=\"tns:{name}SoapOut\"/></wsdl:operation>\n",
        documentation(method)
    )
}

const fn documentation(method: Method) -> &'static str {
    match method {
        Method::GetServiceInfo => "What this service offers, and its limits.",
        Method::GetUserInfo => "Checks the credentials of a user and tells what is known of him.",
        Method::DeliverXms => "Sends one message to one or many recipients.",
        Method::DeliverXmsBatch => "Sends several messages, each with its own user.",
        Method::SendXms => "The older name of DeliverXms.",
    }
}

fn binding(name: &str, prefix: &str) -> String {
    let mut out = format!(
        "<wsdl:binding name=\"{name}\" type=\"tns:OMSServiceSoap\">\n\
         <{prefix}:binding transport=\"http://schemas.xmlsoap.org/soap/http\" style=\"document\"/>\n"
    );
    for method in Method::ALL.map(Method::name) {
        let body = format!("<{prefix}:body use=\"literal\"/>");
        writeln!(
            out,
            "<wsdl:operation name=\"{method}\"><{prefix}:operation soapAction=\"{NAMESPACE}/{method}\" style=\"document\"/>\
             <wsdl:input>{body}</wsdl:input><wsdl:output>{body}</wsdl:output></wsdl:operation>"
        )
        .expect("a String can be written to");
    }
    out.push_str("</wsdl:binding>\n");
    out
}
