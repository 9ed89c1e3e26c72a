@echo off
rem Dois cliques: na primeira vez prepara o ambiente; depois abre o menu da Rede P2P.
rem Sem acentos, porque cada janela os escreve com outros bytes.
setlocal
title Rede P2P
pushd "%~dp0"
if not exist Peers.py goto failed
set "ours=.venv\Scripts\python.exe"
if not exist "%ours%" goto prepare
"%ours%" -c "import rich" >nul 2>nul
if not errorlevel 1 goto menu

:prepare
rem "python" pode ser so o aviso da loja da Microsoft: vale o que de fato roda, a partir do 3.10.
set "python="
set "new=import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))"
set "python=py"
py -c "%new%" >nul 2>nul
if not errorlevel 1 goto found
set "python=python"
python -c "%new%" >nul 2>nul
if errorlevel 1 goto none
:found
echo Preparando o ambiente, apenas desta primeira vez...
%python% -m venv .venv
if errorlevel 1 goto failed
"%ours%" -m pip install -q --disable-pip-version-check -r requirements.txt
if errorlevel 1 goto offline

:menu
"%ours%" Peers.py %*
set "status=%errorlevel%"
if not "%status%"=="0" if not "%status%"=="130" pause
exit /b %status%

:none
echo Falta o Python 3.10 ou mais novo. Instale de https://www.python.org/downloads/
echo (marque "Add python.exe to PATH") e abra este arquivo outra vez.
goto failed

:offline
echo Falta baixar uma biblioteca: na primeira vez, confira a internet.

:failed
echo A Rede P2P parou antes de abrir.
pause
exit /b 1
