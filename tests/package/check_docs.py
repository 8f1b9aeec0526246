#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what docs/embedding.md says, section by section, with the library installed and moved: writes each block whose first line names a
file, runs each block of sh, and compares with the block of text behind it. The first program of the README too.

Usage: check_docs.py BUILD_DIR PREFIX SOURCE_ROOT
"""
import pathlib
import re
import shutil
import sys
import tempfile

from installed import Tree, run, same

BLOCK = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)
NAME = re.compile(r'^(?:/\*|//|#) (\S+\.\w+)(?: \*/)?\n')


def sections(text):
    for part in re.split(r'^## ', text, flags=re.M)[1:]:
        yield part.split('\n')[0], BLOCK.findall(part)


class Reader:
    """Somebody who follows the page."""

    def __init__(self, tree, source, folder):
        self.folder, self.source, self.files, self.counts = pathlib.Path(folder), source, {}, {'files': 0, 'commands': 0}
        self.env = tree.env(PKG_CONFIG_PATH=str(tree.pkgconfig), LD_LIBRARY_PATH=str(tree.lib), CMAKE_PREFIX_PATH=str(tree.root))
        del self.env['PKG_CONFIG_LIBDIR']

    def follow(self, title, blocks):
        here = self.folder / title.replace(' ', '-')
        here.mkdir()
        for name, body in self.files.items():  # "from above"
            (here / name).write_text(body)
        said = None
        for language, body in blocks:
            name = NAME.match(body)
            if name and language != 'sh':
                self.write(here, name[1], body)
            elif language == 'sh':
                said = run(['sh', '-ec', body], cwd=here, env=self.env).splitlines(True)
                self.counts['commands'] += 1
            elif language == 'text':
                want = body.splitlines(True)
                same(''.join((said or [])[-len(want):]), body, f'{title}: the end of what the commands say')
                said = None
            else:
                sys.exit(f'{title}: a block of {language} that nobody runs:\n{body}')

    def write(self, here, name, body):
        self.counts['files'] += 1
        if name.endswith('.wrap'):  # its URL is an example: the sources lie there already
            (here / 'subprojects').mkdir()
            folder = re.search(r'^directory = (\w+)$', body, re.M)[1]
            (here / 'subprojects' / folder).symlink_to(self.source)
        (here / name).write_text(body)
        if '/' not in name and name.endswith(('.c', '.cpp')):
            self.files[name] = body


def readme_program(reader, readme):
    program = next(body for language, body in BLOCK.findall(readme) if language == 'c')
    reader.files.clear()
    build = 'cc -Wall -Werror hello.c $(pkg-config --cflags --libs aios) -o hello && ./hello'
    reader.follow('README', [('c', '/* hello.c */\n' + program), ('sh', build), ('text', 'Why is the sky blue?\n')])


def main():
    build, prefix, source = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    needs = ['cc', 'c++', 'pkg-config', 'cmake', 'meson', 'ninja']
    missing = [tool for tool in needs if not shutil.which(tool)]
    if missing:
        print('not there:', *missing)
        return 77
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Tree(build, prefix, folder, 'moved'), source, folder)
        for title, blocks in sections((source / 'docs/embedding.md').read_text()):
            reader.follow(title, blocks)
        readme_program(reader, (source / 'README.md').read_text())
        print(reader.counts)
        assert reader.counts['files'] >= 7 and reader.counts['commands'] >= 7, 'the page has fewer examples than it had'
    return 0


if __name__ == '__main__':
    sys.exit(main())
