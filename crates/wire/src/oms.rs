//! The OMS SOAP service as bytes and values. Knows nothing of HTTP, tenants or lanes.
