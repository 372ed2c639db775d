//! The ImageTransfer port: fetches image files, checks them with qemu-img under limits
