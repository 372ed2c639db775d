//! What goes on inside a guest: commands for the demo guest's root shell on its serial console, and machines without a system.

use super::Node;
use super::host::Host;
use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};

/// The shell on a demo guest's serial console.
#[derive(Debug)]
pub(crate) struct Shell<'a> {
    node: &'a Node,
    vm_uuid: String,
    terminal: Child,
    keys: ChildStdin,
    marks: usize,
}

impl<'a> Shell<'a> {
    /// Waits until the shell is there. The VM must run already.
    pub(crate) async fn open(node: &'a Node, vm_uuid: &str, vm_name: &str) -> Self {
        node.wait_for_console(vm_uuid, "/ #").await;
        let path = node.host.virsh(&["ttyconsole", vm_name]);
        // QEMU listens only while somebody has the terminal open, and does not wait for who does not read.
        let script = r#"exec 3<>"$0"; cat <&3 >/dev/null & cat >&3; kill $!"#;
        let mut terminal = node.host.command(&["sh", "-c", script, path.trim()]).stdin(Stdio::piped()).spawn().unwrap();
        let keys = terminal.stdin.take().unwrap();
        let mut shell = Self { node, vm_uuid: vm_uuid.to_owned(), terminal, keys, marks: 0 };
        shell.run("").await;
        shell
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Types a line, and waits until all of it is done, with success. Gives what is on the console.
    pub(crate) async fn run(&mut self, line: &str) -> String {
        self.marks += 1;
        // Computed by the shell: the line's own echo does not have it.
        self.type_line(&format!("{line}\necho done-$?-$(({}+1))-", self.marks - 1));
        let console = self.node.wait_for_console(&self.vm_uuid, &format!("-{}-", self.marks)).await;
        assert!(console.contains(&format!("done-0-{}-", self.marks)), "{line}: {console}");
        console
    }
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

/// Defines and starts VMs `v1`, `v2`, … of 64 MiB with a small disk and no system in it: they find nothing to boot, and are idle.
pub(crate) fn start_empty_vms(host: &Host, count: usize) {
    std::fs::write(host.directory.join("run/disk"), vec![0; 1 << 20]).unwrap();
    for number in 1..=count {
        let xml = format!(
            "<domain type='qemu'><name>v{number}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
             <os><type arch='x86_64' machine='q35'>hvm</type></os>
             <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/run/disk'/><target dev='vda' bus='virtio'/>
             <readonly/></disk><memballoon model='virtio'/></devices></domain>"
        );
        std::fs::write(host.directory.join(format!("run/v{number}.xml")), xml).unwrap();
    }
    let start = "virsh -q -c qemu:///system create /run/v$1.xml";
    host.run(&["sh", "-ec", &format!("seq {count} | xargs -P 4 -I N sh -ec '{start}' sh N")]);
}
