; Untested.  An installer for one user, without administrator's rights, of a frozen bundle in
; build\package\frozen\corral:  iscc /DVersion=0.1.0 packaging\windows\corral.iss
#ifndef Version
  #error say which version: iscc /DVersion=0.1.0
#endif

[Setup]
AppId={{6F1C2C1E-5C0B-4D0E-9A57-0C0F2A7E4B11}
AppName=Corral
AppVersion={#Version}
DefaultDirName={localappdata}\Programs\Corral
DefaultGroupName=Corral
PrivilegesRequired=lowest
ChangesEnvironment=yes
ChangesAssociations=yes
OutputDir=..\..\dist
OutputBaseFilename=corral-{#Version}-setup
LicenseFile=..\..\LICENSE
Compression=lzma2
SolidCompression=yes
CloseApplications=yes

[Files]
Source: "..\..\build\package\frozen\corral\*"; DestDir: "{app}"; Flags: recursesubdirs ignoreversion

[Icons]
Name: "{group}\Corral"; Filename: "{app}\corral-app.exe"

[Registry]
Root: HKCU; Subkey: "Software\Classes\.gguf"; ValueType: string; ValueData: "Corral.gguf"; Flags: uninsdeletevalue
Root: HKCU; Subkey: "Software\Classes\Corral.gguf\shell\open\command"; ValueType: string; ValueData: """{app}\corral.exe"" pull ""%1"""; Flags: uninsdeletekey
Root: HKCU; Subkey: "Environment"; ValueType: expandsz; ValueName: "Path"; ValueData: "{olddata};{app}"; Check: IsNotOnPath

[UninstallRun]
Filename: "{app}\corral.exe"; Parameters: "daemon stop"; Flags: runhidden; RunOnceId: "StopDaemon"

[Code]
function IsNotOnPath: Boolean;
var
  Path: String;
begin
  if not RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
    Path := '';
  Result := Pos(';' + Uppercase(ExpandConstant('{app}')) + ';', ';' + Uppercase(Path) + ';') = 0;
end;

procedure LeavePath;
var
  Path: String;
begin
  if not RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
    exit;
  if StringChangeEx(Path, ';' + ExpandConstant('{app}'), '', True) > 0 then
    RegWriteExpandStringValue(HKCU, 'Environment', 'Path', Path);
end;

procedure CurUninstallStepChanged(Step: TUninstallStep);
begin
  if Step = usUninstall then
    LeavePath;
  if Step = usPostUninstall then
    MsgBox('Models, chats and settings stay in ' + ExpandConstant('{localappdata}\corral') +
      '. Delete that folder to remove them too.', mbInformation, MB_OK);
end;
