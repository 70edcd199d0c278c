/** What a container asks of its root file system, through the whole bridge. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Share } from "./testing/share.ts";

let share: Share;
before(async () => {
  share = await Share.open();
});
after(() => share[Symbol.asyncDispose]());

/** Each command of the script must succeed, in the mounted directory; what it prints must be `expected`. */
function check(name: string, script: string, expected = ""): void {
  test(name, async () => assert.equal((await share.sh(`cd "$M"\n${script}`)).trim(), expected));
}

check(
  "what is written inside shows outside, and the other way round",
  'echo in > a; cat "$S/a"; echo out > "$S/b"; cat b',
  "in\nout",
);

check(
  "large files come through whole, both ways, past the page cache",
  `head -c 50000001 /dev/urandom > big; cmp big "$S/big"
   head -c 50000001 /dev/urandom > "$S/big2"; cmp big2 "$S/big2"
   dd if=big of=direct bs=1M oflag=sync status=none; cmp direct "$S/big"`,
);

check(
  "a program runs from it, and whoever has it open keeps it from being written",
  `cp /bin/busybox busybox; ./busybox sh -c 'exit 7' || echo $?
   ./busybox sleep 10 & sleep=$!; until ./busybox grep -q sleep /proc/$sleep/cmdline; do :; done
   (echo > busybox) 2>/dev/null || echo busy; kill $sleep`,
  "7\nbusy",
);

check(
  "owners and modes: as root, as another user; setuid stays and goes as it should",
  `cp /bin/busybox su; chown 1000:1001 su; chmod 4755 su; stat -c '%u %g %a' "$S/su"
   mkdir -m 1777 t; cd t; setpriv --reuid 1000 --regid 1001 --clear-groups sh -c 'echo x > mine; mkdir own'
   stat -c '%u %g' "$S/t/mine" "$S/t/own"
   chmod 700 .; setpriv --reuid 1001 --regid 1001 --clear-groups cat mine 2>/dev/null || echo denied; chmod 1777 .
   cp ../su s2; chown 1000 s2; chmod 4755 s2
   setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo >> s2'; stat -c %a s2`,
  "1000 1001 4755\n1000 1001\n1000 1001\ndenied\n755",
);

check(
  "nodes, links, fifos",
  `mknod null c 1 3; mknod disk b 7 0; mkfifo pipe; echo one > one; ln one two; ln -s one three
   stat -c '%F %t,%T' "$S/null" "$S/disk" "$S/pipe"; stat -c %h one; cat three; echo thrown > null
   (echo through > pipe &) ; cat pipe`,
  "character special file 1,3\nblock special file 7,0\nfifo 0,0\n2\none\nthrough",
);

check(
  "extended attributes, file capabilities among them; trusted ones are not the guest's to set",
  `cp /bin/true cap; setcap cap_net_raw+ep cap; (cd "$S"; getcap cap); getcap cap
   "$PROBE" xattr cap user.long 4000; "$PROBE" xattr cap user.none 0; "$PROBE" xattr cap trusted.overlay.opaque 1`,
  "cap cap_net_raw=ep\ncap cap_net_raw=ep\n4000 30 10\n0 30 10\nOperation not permitted",
);

check(
  "an absent name is believed for a second, as one that is there, but not at the top; a link's text is that of the day",
  `ls container 2>/dev/null || :; mkdir "$S/container"; ls -d container; mkdir names; cd names; S="$S/names"
   echo > "$S/known"; cat known; ls late 2>/dev/null || :
   echo there > "$S/late"; ls late 2>/dev/null || echo absent; sleep 1.2; cat late
   ls own 2>/dev/null || :; echo mine > own; cat own; ln -s one link; readlink link; rm link; ln -s two link; readlink link`,
  "container\n\nabsent\nthere\nmine\none\ntwo",
);

check(
  "rename: over another, not over another, exchanged, directories",
  `echo 1 > r1; echo 2 > r2; mv -T r1 r2; cat r2; echo 3 > r3; "$PROBE" rename 1 r2 r3; "$PROBE" rename 2 r2 r3; cat r2 "$S/r3"
   mkdir -p d1/d2; mv d1 d3; ls d3`,
  "1\nFile exists\nrenamed\n3\n1\nd2",
);

check(
  "a file that is unlinked stays for who has it open",
  "exec 3<> gone; rm gone; echo still >&3; exec 4< /proc/self/fd/3; cat <&4; ls gone 2>/dev/null || echo no name",
  "still\nno name",
);

check(
  "fallocate, holes, truncate",
  `fallocate -l 1M f; stat -c %s f; fallocate -p -o 4096 -l 8192 f; truncate -s 3M f; stat -c %s "$S/f"; "$PROBE" hole sparse`,
  "1048576\n3145728\n0",
);

check(
  "a directory of 5,000",
  `mkdir many; (cd many; seq -f f%g 5000 | xargs touch); ls "$S/many" | wc -l; ls many | sort -u | wc -l
   rm -r many; test ! -e "$S/many"`,
  "5000\n5000",
);

check(
  "writers at a time: each file is whole, appends don't tear",
  `for i in 1 2 3 4 5 6 7 8; do
     (for j in 1 2 3 4 5 6 7 8 9 10; do head -c 300000 /dev/zero | tr '\\0' $i > w$i; echo line $i >> log; done) &
   done; wait
   for i in 1 2 3 4 5 6 7 8; do test "$(tr -d $i < w$i | wc -c)" = 0; test "$(stat -c %s "$S/w$i")" = 300000; done
   wc -l < log; sort -u log | wc -l`,
  "80\n8",
);

check(
  "statfs is that of the host's file system",
  'test "$(stat -fc "%b %S" .)" = "$(stat -fc "%b %S" "$S")"; echo same',
  "same",
);

check("shared memory maps", '"$PROBE" mmap map; dd if="$S/map" bs=1 skip=5000 count=5 status=none', "hello");

check(
  "names and link targets at their limits",
  `n=$(printf 'n%.0s' $(seq 255)); echo x > $n; cat "$S/$n"; (echo x > \${n}n) 2>/dev/null || echo too long
   ln -s $(printf 'l%.0s' $(seq 4000)) l; readlink l | wc -c`,
  "x\ntoo long\n4001",
);

check(
  "an overlay and a read-only bind that are mounted below later are there, and writes arrive in the upper directory",
  `mkdir "$S/ov" "$S/ro" "$S/tmpfs"; T="$S/tmpfs"; mount -t tmpfs t "$T"; mkdir "$T/l" "$T/u" "$T/w"; echo low > "$T/l/f"; echo > "$T/l/g"
   mount -t overlay o -o lowerdir="$T/l",upperdir="$T/u",workdir="$T/w" "$S/ov"
   mount --bind "$T/l" "$T/l"; mount -o remount,bind,ro "$T/l"; mount --bind "$T/l" "$S/ro" # flags travel with a mount, not later
   cat ov/f; echo up > ov/f; cat "$T/u/f" "$T/l/f"; rm ov/g; stat -c %F "$T/u/g"; (echo x > ro/f) 2>/dev/null || echo read-only
   umount -l "$S/ov" "$S/ro" "$T"`,
  "low\nup\nlow\ncharacter special file\nread-only",
);
