//! The Hypervisor port on libvirt: connections, domain XML, storage, events
